"""A painter that paints nothing: small pictures at a set speed, without TensorFlow.

It lets tests and benchmarks run jobs by the thousand. Its losses fall, so that charts have something to show.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from shared.painting.costs import Capacity
from shared.painting.params import StyleParams
from shared.settings import Settings
from worker.engine.device import process_memory
from worker.engine.types import Chunk, Losses, Picture, Snapshot, Style, Subject

#: Long side of the images that it yields, in pixels.
_LONG_SIDE_PX = 32
#: Duration of a chunk, in seconds, close to that of the engine's.
_CHUNK_S = 0.1


class NullPainter:
    """A `Painter` that yields each content, made small, as the picture of every step."""

    def __init__(self, settings: Settings) -> None:
        self._step_s = settings.null_step_s
        self.weights = {"name": "null", "sha256": ""}
        self.device: dict[str, Any] = {"kind": "null"}
        self.capacity = Capacity(memory_bytes=2**40)
        self.memory: dict[str, int] = {}
        self.kept_styles: list[str] = []

    def rest(self) -> int:
        """Return the main memory of the process; there is none to give back."""
        return process_memory.resident_bytes()

    def paint(
        self,
        subjects: Sequence[Subject],
        styles: Sequence[Style],  # noqa: ARG002 - part of the interface
        params: StyleParams,
        *,
        wanted: Callable[[int], bool],
    ) -> Iterator[dict[int, Chunk]]:
        """Yield chunks of about a tenth of a second."""
        images, step_s = [_subsampled(subject.content) for subject in subjects], self._step_s
        per_chunk = max(1, round(_CHUNK_S / step_s)) if step_s else params.steps
        resume = subjects[0].resume
        for done in range(resume.done if resume else 0, params.steps, per_chunk):
            present = [number for number in range(len(subjects)) if wanted(number)]
            if not present:
                return
            count = min(per_chunk, params.steps - done)
            time.sleep(count * step_s)
            yield {number: _chunk(images[number], params.steps, done, count, step_s) for number in present}


def _chunk(image: Picture, total: int, done: int, count: int, step_s: float) -> Chunk:
    height, width = image.shape[:2]
    last = done + count
    return Chunk(
        first=done + 1,
        total=total,
        scale=1,
        scales=1,
        size=(width, height),
        losses=tuple(Losses(2.0 / step, 1.0 / step, 1.0 / step, 0.0) for step in range(done + 1, last + 1)),
        step_ms=step_s * 1000,
        eta_s=(total - last) * step_s,
        image=lambda: image,
        snapshot=partial(Snapshot, 1, last, {"image": image}),
        final=last == total,
    )


def _subsampled(content: Picture) -> Picture:
    stride = max(1, max(content.shape[:2]) // _LONG_SIDE_PX)
    return np.ascontiguousarray(content[::stride, ::stride])
