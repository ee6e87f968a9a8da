"""What the engine hands out: the steps of one compiled call, and the picture they lead to.

Plain numpy, so that the runner and other engines can use it without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: A picture: float32 `[height, width, 3]`, RGB in 0 to 1.
Picture = NDArray[np.float32]


class Style(NamedTuple):
    """One style image and its share in the blend."""

    picture: Picture
    weight: float = 1.0


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
    `image()` copies the picture after the last of these steps from the device; call it before the next chunk.
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

    @property
    def last(self) -> int:
        """The number of the last step in this chunk."""
        return self.first + len(self.losses) - 1
