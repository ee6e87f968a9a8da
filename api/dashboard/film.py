"""The film strip of a job: some frames of its timelapse side by side, as one picture."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageSequence

#: Frames on a strip, their height and the gap between two, in pixels.
_FRAMES, _HEIGHT, _GAP = 8, 150, 6


def strip(timelapse: bytes) -> bytes:
    """Put frames of an animated WebP, at equal distances and the last among them, side by side."""
    with Image.open(BytesIO(timelapse)) as film:
        last = getattr(film, "n_frames", 1) - 1
        wanted = {round(last * number / (_FRAMES - 1)) for number in range(_FRAMES)}
        size = (max(1, round(film.width * _HEIGHT / film.height)), _HEIGHT)
        frames = [
            frame.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            for place, frame in enumerate(ImageSequence.Iterator(film))
            if place in wanted
        ]
    drawn = Image.new("RGBA", (len(frames) * (size[0] + _GAP) - _GAP, _HEIGHT))
    for place, frame in enumerate(frames):
        drawn.paste(frame, (place * (size[0] + _GAP), 0))
    buffer = BytesIO()
    drawn.save(buffer, format="webp", quality=85)
    return buffer.getvalue()
