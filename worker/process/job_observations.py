"""What the watchdog has observed of its worker's jobs: which child runs each, and when one last made progress.

Pure: it is given rows, process ids and times. A child paints a group of jobs in one loop, so it is alive as long as
any of them progresses; but each job has its own time limit, and may belong to a child that has died.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.db.models import Job


class Observation(NamedTuple):
    """One job as last observed."""

    step: int
    ran_s: float
    #: When `ran_s` was first seen; a live heartbeat raises it every second.
    seen_at: float
    #: The process that runs the job.
    child: int | None


class JobObservations:
    """The running jobs of one worker; times are in seconds, all from one clock.

    What is asked of a job is known of those in the last `observe_jobs` only; of others it raises `KeyError`.
    """

    def __init__(self, now: float) -> None:
        self._jobs: dict[tuple[str, int], Observation] = {}
        self._progressed_at = now
        self._child: int | None = None
        self._previous_child: int | None = None

    def observe_child(self, child: int | None) -> None:
        """Record the current child; call this before the jobs are read."""
        self._previous_child, self._child = self._child, child

    def observe_jobs(self, running: Sequence[Job], now: float) -> None:
        """Record all running jobs; a new one was claimed by the previously observed child, if there was one."""
        observed = {(job.id, job.attempt): self._observe(job, now) for job in running}
        if _steps(observed) != _steps(self._jobs):
            self._progressed_at = now
        self._jobs = observed

    def stalled_s(self, now: float) -> float:
        """Return the time since a job last started, ended or made a step."""
        return now - self._progressed_at

    def is_orphan(self, job: Job) -> bool:
        """Tell whether the child that ran the job is gone."""
        return self._jobs[job.id, job.attempt].child != self._child

    def ran_s(self, job: Job, now: float) -> float:
        """Return how long a job has run over all attempts, even if its heartbeat has stopped."""
        last = self._jobs[job.id, job.attempt]
        return last.ran_s + now - last.seen_at

    def _observe(self, job: Job, now: float) -> Observation:
        step = job.progress["step"] if job.progress else 0
        last = self._jobs.get((job.id, job.attempt))
        if last is None:
            # if the child was replaced since the last check, the old one may have claimed this job before it died
            return Observation(step, job.ran_s, now, self._previous_child or self._child)
        seen_at = last.seen_at if last.ran_s == job.ran_s else now
        return Observation(step, job.ran_s, seen_at, last.child)


def _steps(jobs: dict[tuple[str, int], Observation]) -> dict[tuple[str, int], int]:
    return {attempt: observation.step for attempt, observation in jobs.items()}
