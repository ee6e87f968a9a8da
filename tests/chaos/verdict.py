"""What must be true once everything is quiet again, whatever was killed before."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

from sqlalchemy import func, select

from shared.db.models import Job, JobEvent
from shared.imaging import codec
from shared.states import TERMINAL, TRANSITIONS, State
from tests.chaos.rig import Rig
from tests.support.waiting import wait_until
from worker.maintenance.orphans import remove_orphans

#: Events by which an attempt ends without ending its job.
_GIVEN_UP = {"claim_lost", "job_returned", "job_retried"}


@dataclass
class Verdict:
    """What was found; `faults` names everything that must not be."""

    jobs: int = 0
    states: dict[str, int] = field(default_factory=dict)
    attempts: int = 0
    steps: int = 0
    repeated_steps: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def repeated_share(self) -> float:
        return self.repeated_steps / self.steps if self.steps else 0.0


def settle(rig: Rig, *, timeout_s: float) -> None:
    """Wait until no job is queued or running."""

    def open_jobs() -> int:
        with rig.database.reading() as session:
            return session.scalar(select(func.count()).where(Job.state.not_in(TERMINAL))) or 0

    wait_until(lambda: open_jobs() == 0, "every job has ended", timeout_s=timeout_s, every_s=0.5)


def judge(rig: Rig, accepted: Iterable[str]) -> Verdict:
    """Judge every job, accepted or not, and every file."""
    verdict = Verdict()
    with rig.database.reading() as session:
        jobs = {job.id: job for job in session.scalars(select(Job))}
        events: dict[str, list[JobEvent]] = {}
        for event in session.scalars(select(JobEvent).order_by(JobEvent.id)):
            events.setdefault(event.job_id, []).append(event)
    for job_id in accepted:
        if job_id not in jobs:
            verdict.faults.append(f"{job_id} was accepted and is gone")
    for job in jobs.values():
        verdict.faults += [f"{job.id}: {fault}" for fault in _faults(rig, job, events[job.id])]
        verdict.states[job.state] = verdict.states.get(job.state, 0) + 1
        verdict.attempts += job.attempt
        verdict.steps += (job.progress or {}).get("step", 0)
        verdict.repeated_steps += sum(_repeated_steps(job, event) for event in events[job.id])
    verdict.jobs = len(jobs)
    named = {key for job in jobs.values() for key in (job.result or {}).values()}
    verdict.faults += [f"{key} is an orphan" for key in _files_left(rig, named)]
    return verdict


def _files_left(rig: Rig, named: set[str]) -> list[str]:
    """Return the files that no sweep removes; a worker that was slow to end may still write or remove one."""

    def left() -> list[str]:
        remove_orphans(rig.database, rig.store, older_than_s=0)
        return [key for key in rig.store.list("jobs/") if key not in named]

    with suppress(AssertionError):
        wait_until(lambda: not left(), "no file is left", timeout_s=10)
    return left()


def _faults(rig: Rig, job: Job, events: list[JobEvent]) -> list[str]:
    faults = []
    if job.state not in TERMINAL:
        faults.append(f"is {job.state}")
    states = [State(event.state) for event in events]
    moves = [(old, new) for old, new in pairwise(states) if old != new]
    faults += [f"moved {old} → {new}" for old, new in moves if new not in TRANSITIONS[old]]
    if sum(state in TERMINAL for state in states) != 1:
        faults.append(f"ended {sum(state in TERMINAL for state in states)} times")
    given_up = sum(event.name in _GIVEN_UP for event in events)
    if job.attempt > 1 + given_up:
        faults.append(f"has {job.attempt} attempts, {given_up} of them given up")
    claims = [event.attempt for event in events if event.name == "job_claimed"]
    if claims != list(range(1, job.attempt + 1)):
        faults.append(f"was claimed as {claims}")
    if job.state == State.SUCCEEDED:
        faults += _result_faults(rig, job)
    return faults


def _result_faults(rig: Rig, job: Job) -> list[str]:
    assert job.result is not None
    png = rig.store.get(job.result["key"])
    manifest = json.loads(rig.store.get(job.result["manifest_key"]))
    losses = json.loads(rig.store.get(job.result["losses_key"]))
    height, width = codec.decode(png, max_px=10**7).rgb.shape[:2]
    wrong = {
        "size": (width, height) != (job.result["width"], job.result["height"]),
        "length": len(png) != job.result["bytes"],
        "attempt": manifest["attempt"] != job.attempt,
        "steps": losses["step"] != list(range(1, len(losses["step"]) + 1)),
    }
    return [f"its result has the wrong {name}" for name, is_wrong in wrong.items() if is_wrong]


def _repeated_steps(job: Job, event: JobEvent) -> int:
    """Count at most the steps that a lost attempt made in vain: those it told of, and what it made untold since.

    It tells the database once a second, so up to that much may have been made besides.
    """
    if event.name != "claim_lost" or not job.progress:
        return 0
    untold = round(1000 / max(job.progress["step_ms"], 1.0))
    made = min(event.details["step"] + untold, job.progress["total"])
    return max(0, made - event.details["resumes_after"])
