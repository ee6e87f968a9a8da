"""What the engine hands out: the steps of one compiled call, and the picture they lead to.

Plain numpy, so that the runner and other engines can use it without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: A picture: float32 `[height, width, 3]`, RGB in 0 to 1.
Picture = NDArray[np.float32]


class Style(NamedTuple):
    """One style image and its share in the blend."""

    picture: Picture
    weight: float = 1.0


class Snapshot(NamedTuple):
    """All that a run needs to go on: where it is, and the arrays of its state by name.

    `scale` counts from 1, `done` is the number of steps made at it. Going on from a snapshot computes what an
    undisturbed run computes; on a CPU in float32, bit for bit.
    """

    scale: int
    done: int
    state: Mapping[str, NDArray[Any]]


class Losses(NamedTuple):
    """The weighted losses of one step, evaluated before its update. Each is finite and not negative."""

    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class Chunk:
    """The steps of one compiled call, in order.

    `first` counts from 1 over all scales, `total` is the whole run's number of steps; `scale` counts from 1
    to `scales`; `size` is the (width, height) painted at this scale; `step_ms` is the mean time of a step.
    `eta_s` estimates the time to the end of the run, the larger scales to come included.
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

    @property
    def last(self) -> int:
        """The number of the last step in this chunk."""
        return self.first + len(self.losses) - 1
