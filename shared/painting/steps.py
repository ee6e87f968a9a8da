"""A step of a painting as everybody outside the engine sees it: in Redis, the database, event streams and answers.

A `Step` is the JSON itself, as a dictionary with declared keys, so it needs no conversion at any of these places.
"""

from collections.abc import Iterable
from typing import Any, TypedDict


class StepLosses(TypedDict):
    """The weighted losses of a step, evaluated before its update."""

    total: float
    content: float
    style: float
    tv: float


class Step(TypedDict):
    """One optimizer step: `step` of `total` over all scales, on `scale` of `scales`, all from 1.

    `step_ms` is its mean time, `eta_s` the estimated time to the end of the run.
    """

    step: int
    total: int
    scale: int
    scales: int
    losses: StepLosses
    step_ms: float
    eta_s: float


#: The columns of `losses.json`, which `/losses` also returns; `total` is the total loss.
LOSS_COLUMNS = ("step", "scale", *StepLosses.__annotations__, "step_ms")


def loss_columns(steps: Iterable[Step]) -> dict[str, list[Any]]:
    """Arrange steps as columns."""
    rows: list[dict[str, Any]] = [{**step, **step["losses"]} for step in steps]
    return {name: [row[name] for row in rows] for name in LOSS_COLUMNS}
