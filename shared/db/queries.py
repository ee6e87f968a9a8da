"""Read-only questions to the database: one job, pages of jobs, the queue.

Listings are newest first and paged by key: places sort by time, so a page starts below the last place seen and
costs the same however deep it lies.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Select, func, select, union_all
from sqlalchemy.orm import Session

from shared import ids
from shared.db import moments
from shared.db.models import Image, ImageOwner, Job, JobEvent
from shared.errors import NotFound
from shared.states import State


class Backlog(NamedTuple):
    """How many jobs wait and run, how many of the waiting have been sent, and since when the oldest waits."""

    queued: int
    running: int
    sent: int
    oldest_at: datetime | None


def job(session: Session, job_id: str, *, owner: str | None = None) -> Job:
    """Return one job, of that owner unless it is None; raise `NotFound`."""
    found = session.get(Job, job_id)
    if found is None or owner not in (None, found.owner):  # a stranger's job is not told from none
        raise NotFound(f"There is no job {job_id}.")
    return found


class Filter(NamedTuple):
    """Which jobs a listing shows; None and nothing at all stand for any."""

    states: Sequence[State] = ()
    owner: str | None = None
    label: str | None = None
    created_after: datetime | None = None


ANY = Filter()


def jobs(session: Session, wanted: Filter = ANY, *, before: str | None = None, limit: int) -> list[Job]:
    """Return up to `limit` jobs, newest first, those further back than the place `before`.

    A page of each state is read by an index that ends with the place, and the newest of all of them are taken.
    """
    pages = union_all(*(_page(wanted, state, before, limit) for state in wanted.states or State)).subquery()
    newest = select(pages.c.id).order_by(pages.c.place.desc()).limit(limit).subquery()
    query = select(Job).where(Job.id.in_(select(newest.c.id))).order_by(Job.place.desc())
    return list(session.scalars(query))


def _page(wanted: Filter, state: State, before: str | None, limit: int) -> Select[tuple[str, str]]:
    query = select(Job.id, Job.place).where(Job.state == state).order_by(Job.place.desc()).limit(limit)
    if wanted.owner is not None:
        query = query.where(Job.owner == wanted.owner)
    if wanted.label is not None:
        query = query.where(Job.label == wanted.label)
    if wanted.created_after is not None:
        query = query.where(Job.place >= ids.first_at(wanted.created_after), Job.created_at > wanted.created_after)
    if before is not None:
        query = query.where(Job.place < before)
    page = query.subquery()  # SQLite wants one around each ordered part of a union
    return select(page.c.id, page.c.place)


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


def image(session: Session, image_id: str, *, owner: str | None = None) -> Image:
    """Return one image whose bytes are kept, uploaded by that owner unless it is None; raise `NotFound`."""
    found = images(session, [image_id], owner=owner).get(image_id)
    if found is None:
        raise NotFound(f"There is no image {image_id}.")
    return found


def images(session: Session, image_ids: Collection[str], *, owner: str | None = None) -> dict[str, Image]:
    """Return those of the images whose bytes are kept and that the owner has uploaded; None sees all."""
    query = select(Image).where(Image.id.in_(image_ids), Image.gone_at.is_(None))
    if owner is not None:
        query = query.join(ImageOwner, ImageOwner.image_id == Image.id).where(ImageOwner.owner == owner)
    return {image.id: image for image in session.scalars(query)}


def running_left_s(session: Session, limit: int = 200) -> list[float]:
    """Return how long each running job says that it still takes, in seconds; 0 before its first step."""
    running = select(Job.progress).where(Job.state == State.RUNNING).limit(limit)
    return [float((progress or {}).get("eta_s") or 0.0) for progress in session.scalars(running)]


def ended_since(session: Session, seconds: float) -> dict[tuple[str, str], int]:
    """Count the jobs that ended within so many seconds, by state and code of error."""
    code = func.coalesce(Job.error_code, "")
    query = select(Job.state, code, func.count()).where(Job.ended_at > moments.after(-seconds))
    return {(state, error): count for state, error, count in session.execute(query.group_by(Job.state, code))}


def backlog(session: Session) -> Backlog:
    """Count what waits and runs."""
    counted = select(func.count()).select_from(Job)
    oldest = select(Job.created_at).where(Job.state == State.QUEUED).order_by(Job.place).limit(1)
    return Backlog(
        queued=session.scalar(counted.where(Job.state == State.QUEUED)) or 0,
        running=session.scalar(counted.where(Job.state == State.RUNNING)) or 0,
        sent=session.scalar(counted.where(Job.dispatched_at.is_not(None))) or 0,
        oldest_at=session.scalar(oldest),
    )
