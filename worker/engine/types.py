"""What the engine takes and hands out: the pictures to paint, the steps of one compiled call, where they lead.

Plain numpy, so that the runner and other engines can use it without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import Diverged

#: A picture: float32 `[height, width, 3]`, RGB in 0 to 1.
Picture = NDArray[np.float32]
#: How much each place counts: float32 `[height, width]`, 0 to 1.
Mask = NDArray[np.float32]


class Style(NamedTuple):
    """One style image and its share in the blend.

    With a `mask`, of the content's shape, it is painted only where that is white. `key` names the picture, so that
    what was computed of it is found again for the next job; without one it is not kept.
    """

    picture: Picture
    weight: float = 1.0
    mask: Mask | None = None
    key: str = ""


class Snapshot(NamedTuple):
    """All that a run needs to go on: where it is, and the arrays of its state by name.

    `scale` counts from 1, `done` is the number of steps made at it. Going on from a snapshot computes what an
    undisturbed run computes; on a CPU, bit for bit.
    """

    scale: int
    done: int
    state: Mapping[str, NDArray[Any]]


class Subject(NamedTuple):
    """One picture to be painted, at its original size; `init` is what to start from instead of what the params say.

    `resume` goes on where an earlier run of the same subject was.
    """

    content: Picture
    init: Picture | None = None
    resume: Snapshot | None = None


class Losses(NamedTuple):
    """The weighted losses of one step, evaluated before its update. Each is finite and not negative."""

    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class Chunk:
    """The steps of one compiled call for one subject, in order.

    `first` counts from 1 over all scales, `total` is the whole run's number of steps; `scale` counts from 1
    to `scales`; `size` is the (width, height) painted at this scale; `step_ms` is the mean time of a step.
    `eta_s` estimates the time to the end of the run, the larger scales to come included. `final` marks the last
    chunk of a subject: of its run, or because of an `error`, in which case `losses` ends before the step that
    failed and the image is the last good one. A scale that is left early leaves a gap in the numbers.
    `facts` tells how it was painted, for the manifest: precision, side of the tiles, pictures in a batch, peak memory.
    `image()` and `snapshot()` copy the picture, or the whole state, after the last of these steps from the
    device; call them before the next chunk.
    """

    first: int
    total: int
    scale: int
    scales: int
    size: tuple[int, int]
    losses: tuple[Losses, ...]
    step_ms: float
    eta_s: float
    image: Callable[[], Picture]
    snapshot: Callable[[], Snapshot]
    final: bool = False
    error: Diverged | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The number of the last step in this chunk."""
        return self.first + len(self.losses) - 1
