"""What painting a picture costs: memory and time, estimated from its shape before anything is painted.

Pure, so that the API can answer a dry run and the engine can plan by the same numbers. The formulas count what
the computation holds and does; a `Capacity`, measured by each worker on its own device, turns them into bytes and
seconds.

Limits: an estimate is for one process that paints one message's pictures; other programs' memory is not in it.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import TooLarge
from shared.params import StyleParams
from shared.sizes import fitted, long_sides


class Capacity(BaseModel):
    """What one worker's device can do, as it measured itself and tells in its row."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    #: Most bytes that the process may take.
    memory_bytes: int = Field(gt=0)
    #: What the process takes before any picture.
    base_bytes: int = Field(0, ge=0)
    #: Measured peaks over those of the formula.
    bytes_factor: float = Field(1.0, gt=0)
    #: 10⁹ floating-point operations a second, by precision.
    gflop_per_s: dict[str, float] = Field(default_factory=lambda: {"float32": 100.0})


class Estimate(NamedTuple):
    """What a run is predicted to take; `tile_size` is 0 where no scale needs tiles."""

    seconds: float
    peak_bytes: int
    tile_size: int
    scales: list[tuple[int, int]]


def estimate(
    params: StyleParams, content: tuple[int, int], styles: list[tuple[int, int]], capacity: Capacity
) -> Estimate:
    """Estimate a run over originals of these (height, width).

    Raises `InvalidParams` for a picture too narrow and `TooLarge`, with the largest `size` that would fit, for one
    that `capacity` cannot hold even in the smallest tiles.
    """
    raise NotImplementedError
