"""What the engine takes and yields: subjects and styles in, chunks of steps out.

Plain numpy, so that the runner and other engines can use it without TensorFlow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import Diverged

#: An image: float32 `[height, width, 3]`, RGB in 0 to 1.
Picture = NDArray[np.float32]
#: The weight of each pixel: float32 `[height, width]`, 0 to 1.
Mask = NDArray[np.float32]


class Style(NamedTuple):
    """One style image and its weight in the blend.

    With a `mask`, of the content's aspect ratio, it is painted only where that is white. With an `opacity`, of the
    picture's own size, it is painted as its visible places are. `key` identifies picture and opacity in the cache of
    Gram matrices; without one they are not cached.
    """

    picture: Picture
    weight: float = 1.0
    mask: Mask | None = None
    key: str = ""
    opacity: Mask | None = None


class Snapshot(NamedTuple):
    """All that a run needs to resume: how far it is, and the arrays of its state by name.

    `scale` counts from 1, `done` is the number of steps made at it. A resumed run computes what an uninterrupted one
    does; on a CPU, bit for bit.
    """

    scale: int
    done: int
    state: Mapping[str, NDArray[Any]]


class Subject(NamedTuple):
    """One image to paint, at its original size.

    `init` is the image to start from, in place of the params' `init`; `resume` is where an earlier run of the same
    subject stopped.
    """

    content: Picture
    init: Picture | None = None
    resume: Snapshot | None = None


class Losses(NamedTuple):
    """The weighted losses of one step, evaluated before its update. Each is finite and at least 0."""

    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class Chunk:
    """The steps of one compiled call for one subject, in order.

    `first` counts from 1 over all scales, `total` is the number of steps of the whole run; `scale` counts from 1
    to `scales`; `size` is the (width, height) painted at this scale; `step_ms` is the mean time of a step.
    `eta_s` estimates the time to the end of the run, larger scales included. `final` marks the last chunk of a
    subject: the end of its run, or an `error`, in which case `losses` ends before the step that failed and the image
    is the last one with finite losses. A scale that stops early leaves a gap in the step numbers.
    `facts` are for the manifest: precision, side of the tiles, images painted together, peak memory.
    `image()` and `snapshot()` copy the image, or the whole state, after the last of these steps from the device;
    call them before asking for the next chunk.
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
