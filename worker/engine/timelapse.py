"""The timelapse of a run: small frames from along the way, ending with the result, as an animated WebP.

A frame can only be taken between two chunks. Where a chunk has more steps than lie between two frames, there are fewer
frames than asked for, and each is shown longer. Frames are kept as JPEG, in memory and in checkpoints;
transparency is lost.

Invariant: never more frames than asked for, and the last one is the result.
"""

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from PIL import Image

from shared.imaging import codec
from worker.engine.types import Chunk, Picture

#: Long side of a frame, in pixels: all frames of an animation are in memory at once when it is encoded.
_LONG_SIDE_PX = 480
#: How long a frame is shown if there are as many as asked for, and how much longer the last one is, in milliseconds.
_FRAME_MS = 100
_LAST_FRAME_EXTRA_MS = 1500
_QUALITY = 85


class Frame(NamedTuple):
    """The image after a step, as a JPEG."""

    step: int
    jpeg: bytes


class Timelapse:
    """Collects the frames of one job."""

    def __init__(self, frame_count: int, frames: Sequence[Frame] = ()) -> None:
        """Collect up to `frame_count` frames, none if that is 0; `frames` are those of an earlier attempt."""
        self._frame_count = frame_count
        self.frames = list(frames)

    def collect(self, chunk: Chunk) -> None:
        """Take a frame if the run has reached the step of the next one.

        Not for the last chunk: `encode` adds the result.
        """
        # the k-th frame is due at k / frame_count of all steps
        last = self.frames[-1].step if self.frames else 0
        if self._frame_count * chunk.last // chunk.total > self._frame_count * last // chunk.total:
            self.frames.append(_frame(chunk.last, chunk.image()))

    def encode(self, result: Picture, chunk: Chunk) -> bytes | None:
        """Encode the animation that ends with `result`, the image after `chunk`; None if none was asked for."""
        if not self._frame_count:
            return None
        frames = [*self.frames, _frame(chunk.last, result)]
        last = _open(frames[-1])
        # frames of smaller scales are smaller
        others = [_open(frame).resize(last.size, Image.Resampling.BICUBIC) for frame in frames[:-1]]
        first, *rest = [*others, last]
        durations_ms = self._durations_ms([frame.step for frame in frames], chunk.total)
        file = io.BytesIO()
        first.save(file, "webp", save_all=True, append_images=rest, duration=durations_ms, quality=_QUALITY, method=2)
        return file.getvalue()

    def _durations_ms(self, steps: list[int], total: int) -> list[int]:
        """Return how long the frame of each step is shown: in proportion to the steps since the one before."""
        per_step = self._frame_count * _FRAME_MS
        *others, last = (max(1, (step - before) * per_step // total) for before, step in pairwise([0, *steps]))
        return [*others, last + _LAST_FRAME_EXTRA_MS]


def _frame(step: int, image: Picture) -> Frame:
    return Frame(step, codec.encode(codec.thumbnail(image, _LONG_SIDE_PX), format="jpeg", quality=_QUALITY))


def _open(frame: Frame) -> Image.Image:
    return Image.open(io.BytesIO(frame.jpeg))
