"""A job as it was seen at one moment: all that an answer about it is made of, and the tag that stands for that."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from api.schemas import jobs
from api.serializers.jobs import serialize_job
from shared.db.jobs import queries
from shared.db.jobs.queries import Shown
from shared.painting.forecasts import Forecast

#: The shortest and the longest time between two polls that a client is asked for, in seconds.
_POLL_S = (1, 30)
#: What a tag is made of, besides progress, which may be newer than the row's; and what it begins with: releases that
#: show other fields give other tags.
_KEPT = attrgetter(*(name for name in queries.SHOWN if name not in ("sort_id", "predicted_s", "progress")))
_SHAPE = hashlib.sha256(",".join(jobs.JobView.model_fields).encode())


@dataclass(frozen=True)
class Sight:
    """A job at one moment: all that an answer about it is made of."""

    job: Shown
    progress: dict[str, Any] | None = None
    queue: jobs.QueueView | None = None
    eta: Forecast | None = None

    @cached_property
    def tag(self) -> str:
        """What is another once the view is another, found without making the view.

        A forecast, which is a little older each time, is no news: what was forecast before is as good.
        """
        place = self.queue and (self.queue.position, self.queue.waiting_for)
        mark = _SHAPE.copy()
        mark.update(repr((_KEPT(self.job), self.progress, place)).encode())
        return mark.hexdigest()[:32]

    @cached_property
    def body(self) -> str:
        """The view as JSON."""
        return self.view().model_dump_json()

    def view(self) -> jobs.JobView:
        """Show it."""
        return serialize_job(self.job, live=self.progress, queue=self.queue, eta=self.eta)

    def retry_after_s(self) -> int:
        """Say when to look again: about when the job ends, within reason."""
        eta_s = self.eta.p50_s if self.eta else self.progress["eta_s"] if self.progress else 0
        shortest, longest = _POLL_S
        return max(shortest, min(longest, math.ceil(eta_s)))


@dataclass
class Seen:
    """A running job as it was seen last: both its newest step, as Redis has it, and the sight, of one moment."""

    last: tuple[bytes, Sight]
