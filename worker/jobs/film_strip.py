"""The film strip of a run: some of its previews side by side, as one picture.

How many previews there will be, nobody knows beforehand. So they are all kept until they are too many; then every
other one goes, and from there on only one in twice as many is kept.

Invariant: never more frames than `_MOST`, whatever the run's length: the newest, and others at equal distances.
"""

from __future__ import annotations

from io import BytesIO

from PIL import Image

#: Frames that are kept at most, and the least that make a strip.
_MOST, _LEAST = 12, 2
#: The frames' height and the gap between two, in pixels.
_HEIGHT, _GAP = 150, 6
_QUALITY = 85


class Film:
    """Collects the frames of one attempt."""

    def __init__(self) -> None:
        """Have seen nothing."""
        self._frames: list[bytes] = []
        self._last: bytes | None = None
        self._seen, self._every = 0, 1

    def see(self, jpeg: bytes) -> None:
        """Keep a preview, if it is one of those to be kept; the newest always is."""
        self._last = jpeg
        if self._seen % self._every == 0:
            self._frames.append(jpeg)
        self._seen += 1
        if len(self._frames) == _MOST:
            self._frames = self._frames[::2]
            self._every *= 2

    def strip(self) -> bytes | None:
        """Put the frames side by side, first to last, as a WebP; None where there are too few."""
        newest = [] if self._last is None or self._last in self._frames[-1:] else [self._last]
        frames = [*self._frames, *newest]
        if len(frames) < _LEAST:
            return None
        opened = [Image.open(BytesIO(frame)) for frame in frames]
        width = max(1, round(opened[-1].width * _HEIGHT / opened[-1].height))
        drawn = Image.new("RGBA", (len(opened) * (width + _GAP) - _GAP, _HEIGHT))
        for place, frame in enumerate(opened):
            drawn.paste(frame.resize((width, _HEIGHT), Image.Resampling.LANCZOS), (place * (width + _GAP), 0))
        buffer = BytesIO()
        drawn.save(buffer, format="webp", quality=_QUALITY)
        return buffer.getvalue()
