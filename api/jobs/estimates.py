"""What a job would take on the live workers, from what each reports of its device.

Limits: masks and an initial image are not counted; they are small beside the painting.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy.orm import Session

from shared import logs
from shared.db import workers
from shared.errors import TooLarge
from shared.painting import costs
from shared.painting.costs import Capacity, Estimate
from shared.painting.params import StyleParams
from shared.painting.sizes import Size

log = logs.get(__name__)


class Sizes(NamedTuple):
    """The sizes of a job's originals."""

    content: Size
    styles: list[Size]


def estimate(session: Session, params: StyleParams, sizes: Sizes) -> Estimate | None:
    """Predict a job on the fastest live worker that can hold it; None while no worker has reported its capacity.

    Raises `TooLarge`, with the largest size that any of them can hold, if none can.
    """
    found: list[Estimate] = []
    refusals: list[TooLarge] = []
    for capacity in _capacities(session):
        try:
            found.append(costs.estimate(params, sizes.content, sizes.styles, capacity))
        except TooLarge as error:
            refusals.append(error)
    if refusals and not found:
        raise _pointed(max(refusals, key=lambda error: error.fields["largest"]))
    return min(found, key=lambda one: one.seconds, default=None)


def _capacities(session: Session) -> Iterator[Capacity]:
    """Yield the capacities of the live workers; one that cannot be read, of another version, is skipped."""
    reported = {worker.name: (worker.about or {}).get("capacity") for worker in workers.list_alive(session)}
    for name, capacity in reported.items():
        if capacity is None:
            continue
        try:
            yield Capacity.model_validate(capacity)
        except ValidationError as error:
            log.warning("capacity_unreadable", worker=name, reason=str(error))


def _pointed(error: TooLarge) -> TooLarge:
    """Point at the size."""
    found = {"pointer": "/params/size", "detail": error.detail, "le": error.fields["largest"], "unit": "px"}
    return TooLarge(error.detail, **error.fields, errors=[found])
