"""A job at one moment: everything that a response about it shows, and the ETag that stands for it."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from api.schemas import jobs
from api.serializers.jobs import serialize_job
from shared.db.jobs import queries
from shared.db.jobs.queries import ShownJob
from shared.painting.forecasts import Forecast
from shared.painting.steps import Step

#: The shortest and the longest interval between polls that a client is asked for, in seconds.
_POLL_S = (1, 30)
#: What an ETag is made of, besides progress, which may be newer than the row's. It starts with the names of the fields
#: shown, so that a release that shows others gives other tags.
_ROW = attrgetter(*(name for name in queries.SHOWN_COLUMNS if name not in ("sort_id", "predicted_s", "progress")))
_SHAPE = hashlib.sha256(",".join([*jobs.JobView.model_fields, *jobs.ResultView.model_fields]).encode())


@dataclass(frozen=True)
class JobSnapshot:
    """A job at one moment."""

    job: ShownJob
    progress: Step | None = None
    queue: jobs.QueueView | None = None
    eta: Forecast | None = None

    @cached_property
    def etag(self) -> str:
        """The ETag, computed without building the response.

        Forecasts are left out: they change with each second, and an earlier one is as good.
        """
        position = self.queue and (self.queue.position, self.queue.waiting_for)
        digest = _SHAPE.copy()
        digest.update(repr((_ROW(self.job), self.progress, position)).encode())
        return digest.hexdigest()[:32]

    @cached_property
    def body(self) -> str:
        """The response body, as JSON."""
        return self.view().model_dump_json()

    def view(self) -> jobs.JobView:
        """Serialize the job."""
        return serialize_job(self.job, live=self.progress, queue=self.queue, eta=self.eta)

    def retry_after_s(self) -> int:
        """Return when to poll next, in seconds: about when the job ends, within `_POLL_S`."""
        eta_s = self.eta.p50_s if self.eta else self.progress["eta_s"] if self.progress else 0
        shortest, longest = _POLL_S
        return max(shortest, min(longest, math.ceil(eta_s)))


@dataclass
class CachedSnapshot:
    """The last snapshot of a running job, with the newest step, as Redis had it, that it was made from.

    Threads share it: both are replaced by one assignment, so that no thread takes a step for another's snapshot.
    """

    last: tuple[bytes, JobSnapshot]
