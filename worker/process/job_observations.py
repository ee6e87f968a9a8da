"""What the overseer has seen of its worker's jobs, from look to look: who paints them, since when nothing moves.

Pure: rows, process ids and times in. A child paints the jobs of a group in one loop, so that it lives as long as any
of them moves; but each has a limit of its own, and may be the job of a child that is no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shared.db.models import Job


class _Sight(NamedTuple):
    """One job as it was last seen."""

    step: int
    ran_s: float
    #: Since when it says that it ran for so long: its heartbeat tells every second, as long as that lives.
    told_at: float
    #: The process that runs it.
    child: int | None


class Sights:
    """The running jobs of one worker; times are those of one clock, in seconds."""

    def __init__(self, now: float) -> None:
        """Begin with no job, and nothing known of the child before."""
        self._sights: dict[tuple[str, int], _Sight] = {}
        self._moved_at = now
        self._child: int | None = None
        self._child_before: int | None = None

    def child(self, child: int | None) -> None:
        """See which child there is now, before its jobs are read."""
        self._child_before, self._child = self._child, child

    def jobs(self, running: Sequence[Job], now: float) -> None:
        """See all running jobs; one that is new was claimed by the child of the look before, if there was one."""
        seen = {(job.id, job.attempt): self._seen(job, now) for job in running}
        if _steps(seen) != _steps(self._sights):
            self._moved_at = now
        self._sights = seen

    def still_s(self, now: float) -> float:
        """Return for how long no job has come, gone or made a step."""
        return now - self._moved_at

    def is_orphan(self, job: Job) -> bool:
        """Say whether the child that ran the job is no more."""
        return self._sights[job.id, job.attempt].child != self._child

    def ran_s(self, job: Job, now: float) -> float:
        """Return how long a job has run, all attempts together; also of one whose heartbeat has stopped."""
        sight = self._sights[job.id, job.attempt]
        return sight.ran_s + now - sight.told_at

    def _seen(self, job: Job, now: float) -> _Sight:
        step = (job.progress or {}).get("step", 0)
        last = self._sights.get((job.id, job.attempt))
        if last is None:
            return _Sight(step, job.ran_s, now, self._child_before or self._child)
        told_at = last.told_at if last.ran_s == job.ran_s else now
        return _Sight(step, job.ran_s, told_at, last.child)


def _steps(sights: dict[tuple[str, int], _Sight]) -> dict[tuple[str, int], int]:
    return {attempt: sight.step for attempt, sight in sights.items()}
