"""An engine that paints nothing: the same interface, small pictures, a set time a step, no TensorFlow.

It exists so that the life of jobs can be tried by the thousand; its losses fall so that curves look alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from shared.painting.params import StyleParams
from worker.engine.types import Chunk, Losses, Picture, Snapshot, Subject

#: Long side of the pictures it hands out, in pixels.
_LONG_SIDE_PX = 32
#: About as long as the real engine keeps its caller waiting, in seconds.
_CHUNK_S = 0.1


def stylize(
    subjects: Sequence[Subject], params: StyleParams, *, step_s: float, wanted: Callable[[int], bool]
) -> Iterator[dict[int, Chunk]]:
    """Yield `params.steps` steps of `step_s` seconds each, in chunks of about a tenth of a second."""
    pictures = [_shrunk(subject.content) for subject in subjects]
    per_chunk = max(1, round(_CHUNK_S / step_s)) if step_s else params.steps
    resume = subjects[0].resume
    for done in range(resume.done if resume else 0, params.steps, per_chunk):
        present = [number for number in range(len(subjects)) if wanted(number)]
        if not present:
            return
        count = min(per_chunk, params.steps - done)
        time.sleep(count * step_s)
        yield {number: _chunk(pictures[number], params.steps, done, count, step_s) for number in present}


def _chunk(picture: Picture, total: int, done: int, count: int, step_s: float) -> Chunk:
    height, width = picture.shape[:2]
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
        image=lambda: picture,
        snapshot=partial(Snapshot, 1, last, {"picture": picture}),
        final=last == total,
    )


def _shrunk(content: Picture) -> Picture:
    stride = max(1, max(content.shape[:2]) // _LONG_SIDE_PX)
    return np.ascontiguousarray(content[::stride, ::stride])
