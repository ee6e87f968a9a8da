"""The film strip of a run: some of its previews side by side in one picture.

The number of previews is unknown beforehand. So all are kept until there are too many; then every other one is
dropped, and from then on half as many are kept.

Invariant: at most `_MOST` equidistant frames, and the newest, whatever the run's length.
"""

from io import BytesIO

from PIL import Image

#: The most frames kept, and the fewest that make a strip.
_MOST, _LEAST = 12, 2
#: The frames' height and the gap between two, in pixels.
_HEIGHT, _GAP = 150, 6
_QUALITY = 85


class FilmStrip:
    """Collects the frames of one attempt."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._newest: bytes | None = None
        self._seen, self._every = 0, 1

    def add(self, jpeg: bytes) -> None:
        """Add a preview; it is kept if it is the newest, or its turn."""
        self._newest = jpeg
        if self._seen % self._every == 0:
            self._frames.append(jpeg)
        self._seen += 1
        if len(self._frames) == _MOST:
            self._frames = self._frames[::2]
            self._every *= 2

    def encoded(self) -> bytes | None:
        """Put the frames side by side, oldest first, as a WebP; None if there are too few."""
        newest = [] if self._newest is None or self._newest in self._frames[-1:] else [self._newest]
        frames = [*self._frames, *newest]
        if len(frames) < _LEAST:
            return None
        opened = [Image.open(BytesIO(frame)) for frame in frames]
        width = max(1, round(opened[-1].width * _HEIGHT / opened[-1].height))
        strip = Image.new("RGBA", (len(opened) * (width + _GAP) - _GAP, _HEIGHT))
        for place, frame in enumerate(opened):
            strip.paste(frame.resize((width, _HEIGHT), Image.Resampling.LANCZOS), (place * (width + _GAP), 0))
        buffer = BytesIO()
        strip.save(buffer, format="webp", quality=_QUALITY)
        return buffer.getvalue()
