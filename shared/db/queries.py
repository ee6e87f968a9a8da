"""Read-only questions to the database: one job, pages of jobs, the queue.

Listings are newest first and paged by key: ids sort by time, so a page starts below the last id seen and
costs the same however deep it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from shared.db.models import Image, Job, JobEvent
from shared.errors import NotFound
from shared.states import State


class Backlog(NamedTuple):
    """How many jobs wait and run, how many of the waiting have been sent, and since when the oldest waits."""

    queued: int
    running: int
    sent: int
    oldest_at: datetime | None


def job(session: Session, job_id: str) -> Job:
    """Return one job; raise `NotFound`."""
    found = session.get(Job, job_id)
    if found is None:
        raise NotFound(f"There is no job {job_id}.")
    return found


def jobs(
    session: Session, *, states: Sequence[State] = (), label: str | None = None, before: str | None = None, limit: int
) -> list[Job]:
    """Return up to `limit` jobs, newest first, those older than the id `before`."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    if states:
        query = query.where(Job.state.in_(states))
    if label is not None:
        query = query.where(Job.label == label)
    if before is not None:
        query = query.where(Job.id < before)
    return list(session.scalars(query))


def running_of(session: Session, worker: str) -> list[Job]:
    """Return the jobs that a worker runs."""
    query = select(Job).where(Job.state == State.RUNNING, Job.worker == worker).order_by(Job.id)
    return list(session.scalars(query))


def running_by_worker(session: Session) -> dict[str, str]:
    """Return the job that each working worker runs."""
    query = select(Job.worker, Job.id).where(Job.state == State.RUNNING).order_by(Job.started_at)
    return {worker: job_id for worker, job_id in session.execute(query) if worker is not None}


def job_events(session: Session, job_id: str) -> list[JobEvent]:
    """Return what happened to a job, oldest first."""
    return list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)))


def image(session: Session, image_id: str) -> Image:
    """Return one image; raise `NotFound`."""
    found = session.get(Image, image_id)
    if found is None:
        raise NotFound(f"There is no image {image_id}.")
    return found


def known_images(session: Session, image_ids: Sequence[str]) -> set[str]:
    """Return those of `image_ids` that have been uploaded."""
    return set(session.scalars(select(Image.id).where(Image.id.in_(image_ids))))


def queue_position(session: Session, waiting: Job) -> int:
    """Return a queued job's place in line, counted from 1."""
    ahead = or_(Job.priority > waiting.priority, (Job.priority == waiting.priority) & (Job.id < waiting.id))
    query = select(func.count()).select_from(Job).where(Job.state == State.QUEUED, ahead)
    return (session.scalar(query) or 0) + 1


def backlog(session: Session) -> Backlog:
    """Count what waits and runs."""
    counted = select(func.count()).select_from(Job)
    oldest = select(Job.created_at).where(Job.state == State.QUEUED).order_by(Job.id).limit(1)
    return Backlog(
        queued=session.scalar(counted.where(Job.state == State.QUEUED)) or 0,
        running=session.scalar(counted.where(Job.state == State.RUNNING)) or 0,
        sent=session.scalar(counted.where(Job.dispatched_at.is_not(None))) or 0,
        oldest_at=session.scalar(oldest),
    )
