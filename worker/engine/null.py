"""An engine that paints nothing: the same interface, a small picture, a set time a step, no TensorFlow.

It exists so that the life of jobs can be tried by the thousand; its losses fall so that curves look alive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from shared.params import StyleParams
from worker.engine.steps import Chunk, Losses, Picture, Snapshot, Style

#: Long side of the picture it hands out, in pixels.
_LONG_SIDE_PX = 32
#: About as long as the real engine keeps its caller waiting, in seconds.
_CHUNK_S = 0.1


def stylize(
    content: Picture,
    styles: Sequence[Style],  # noqa: ARG001 - the interface's
    params: StyleParams,
    *,
    step_s: float,
    resume: Snapshot | None = None,
) -> Iterator[Chunk]:
    """Yield `params.steps` steps of `step_s` seconds each, in chunks of about a tenth of a second."""
    stride = max(1, max(content.shape[:2]) // _LONG_SIDE_PX)
    picture = np.ascontiguousarray(content[::stride, ::stride])
    height, width = picture.shape[:2]
    per_chunk = max(1, round(_CHUNK_S / step_s)) if step_s else params.steps
    for first in range(resume.done + 1 if resume else 1, params.steps + 1, per_chunk):
        count = min(per_chunk, params.steps - first + 1)
        time.sleep(count * step_s)
        yield Chunk(
            first=first,
            total=params.steps,
            scale=1,
            scales=1,
            size=(width, height),
            losses=tuple(Losses(2.0 / step, 1.0 / step, 1.0 / step, 0.0) for step in range(first, first + count)),
            step_ms=step_s * 1000,
            eta_s=(params.steps - first - count + 1) * step_s,
            image=lambda: picture,
            snapshot=partial(Snapshot, 1, first + count - 1, {"picture": picture}),
        )
