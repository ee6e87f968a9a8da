"""What a job would take on the workers there are, from what each has told of its device.

Limits: masks and a start of the job's own are not counted; they are small beside the painting.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from api.jobs.submission import Sizes
from shared import logs
from shared.db import workers
from shared.db.base import Database
from shared.errors import TooLarge
from shared.painting import costs
from shared.painting.costs import Capacity, Estimate
from shared.painting.params import StyleParams

log = logs.get(__name__)


def estimate(database: Database, params: StyleParams, sizes: Sizes) -> Estimate | None:
    """Predict a job on the fastest live worker that can hold it; None while none has told its capacity.

    Raises `TooLarge`, with the largest size that any of them can hold, if none can.
    """
    found: list[Estimate] = []
    refusals: list[TooLarge] = []
    for capacity in _capacities(database):
        try:
            found.append(costs.estimate(params, sizes.content, sizes.styles, capacity))
        except TooLarge as error:
            refusals.append(error)
    if refusals and not found:
        raise _pointed(max(refusals, key=lambda error: error.fields["largest"]))
    return min(found, key=lambda one: one.seconds, default=None)


def _capacities(database: Database) -> Iterator[Capacity]:
    """Yield what the live workers have told; one of another version that cannot be read says nothing."""
    with database.reading() as session:
        told = {worker.name: (worker.about or {}).get("capacity") for worker in workers.list_alive(session)}
    for name, capacity in told.items():
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
