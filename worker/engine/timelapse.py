"""The animation of a painting: small pictures from along the run, and the result as the last.

A frame can only be taken between two compiled calls. Where a call makes more steps than lie between two frames,
there are fewer frames than asked for, each shown for as long as the steps that it stands for. Frames are kept as
JPEG, in memory and in checkpoints, and become an animated WebP at the end. Transparency is not kept.

Invariant: never more frames than asked for, and the last one is the picture that is stored.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from PIL import Image

from shared.imaging import codec
from worker.engine.types import Chunk, Picture

#: Long side of a frame, in pixels: all frames of an animation are in memory at once when it is encoded.
_LONG_SIDE_PX = 480
#: How long each frame is shown if there are as many as asked for, and the last one beyond that, in milliseconds.
_FRAME_MS = 100
_LAST_MS = 1500
_QUALITY = 85


class Frame(NamedTuple):
    """The picture after a step, as a JPEG."""

    step: int
    jpeg: bytes


class Timelapse:
    """Collects the frames of one job."""

    def __init__(self, asked: int, taken: Sequence[Frame] = ()) -> None:
        """Collect up to `asked` frames, none if that is 0; `taken` are those of an earlier attempt."""
        self._asked = asked
        self.frames = list(taken)

    def see(self, chunk: Chunk) -> None:
        """Take a frame if the run has reached the step of the next one; not at the last chunk."""
        last = self.frames[-1].step if self.frames else 0
        if self._asked * chunk.last // chunk.total > self._asked * last // chunk.total:
            self.frames.append(_taken(chunk.last, chunk.image()))

    def finished(self, result: Picture, chunk: Chunk) -> bytes | None:
        """Encode the animation up to `result`, the picture after `chunk`; None if none was asked for."""
        if not self._asked:
            return None
        frames = [*self.frames, _taken(chunk.last, result)]
        last = _opened(frames[-1])
        # the first scales' pictures are smaller
        others = [_opened(frame).resize(last.size, Image.Resampling.BICUBIC) for frame in frames[:-1]]
        first, *rest = [*others, last]
        shown = self._durations([frame.step for frame in frames], chunk.total)
        file = io.BytesIO()
        first.save(file, "webp", save_all=True, append_images=rest, duration=shown, quality=_QUALITY, method=2)
        return file.getvalue()

    def _durations(self, steps: list[int], total: int) -> list[int]:
        """Say how long the frame of each step is shown, in milliseconds."""
        shown = [max(1, (after - before) * self._asked * _FRAME_MS // total) for before, after in pairwise([0, *steps])]
        return [*shown[:-1], shown[-1] + _LAST_MS]


def _taken(step: int, picture: Picture) -> Frame:
    return Frame(step, codec.encode(codec.thumbnail(picture, _LONG_SIDE_PX), format="jpeg", quality=_QUALITY))


def _opened(frame: Frame) -> Image.Image:
    return Image.open(io.BytesIO(frame.jpeg))
