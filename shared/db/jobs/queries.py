"""Read-only questions to the database: one job, pages of jobs, the queue.

Listings are newest first and paged by key: places sort by time, so a page starts below the last place seen and
costs the same however deep it lies.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, inspect, select, union_all
from sqlalchemy.orm import Session

from shared import ids
from shared.db import sql_clock
from shared.db.models import Image, ImageOwner, Job, JobEvent
from shared.errors import NotFound
from shared.states import State

#: Of the jobs that ended lately no more are counted.
_MOST_ENDED = 50_000


class Backlog(NamedTuple):
    """How many jobs wait and run, how many of the waiting have been sent, and since when the oldest waits."""

    queued: int
    running: int
    sent: int
    oldest_at: datetime | None


def get_job(session: Session, job_id: str, *, owner: str | None = None) -> Job:
    """Return one job, of that owner unless it is None; raise `NotFound`."""
    found = session.get(Job, job_id)
    if found is None or owner not in (None, found.owner):  # a stranger's job is not told from none
        raise _none(job_id)
    return found


def _none(job_id: str) -> NotFound:
    return NotFound(f"There is no job {job_id}.")


#: What of a job is shown or its forecast is made of, by attribute: what dispatch, leases and checkpoints keep is not.
SHOWN = (
    "id", "sort_id", "owner", "state", "preset", "params", "weights", "weights_wanted", "content_id", "styles",
    "init_id", "priority", "label", "annotations", "batch_id", "item_key", "reused_from", "retry_of", "attempt",
    "retry_at", "start_by", "time_limit_s", "retention_s", "webhook", "worker", "progress", "error_code",
    "error_message", "error_retryable", "result", "created_at", "started_at", "ended_at", "expires_at",
    "files_gone_at", "predicted_s",
)  # fmt: skip
#: A job as a session has it, or what `get_job_row` found of it: by the same names.
Shown = Job | Row[Any]
#: On the table itself, and made once: a mapped object takes four times as long, a statement made each time twice.
_SHOWN = select(*(inspect(Job).columns[name].label(name) for name in SHOWN)).where(
    inspect(Job).columns["id"] == bindparam("wanted")
)


def get_job_row(connection: Connection, job_id: str, *, owner: str | None = None) -> Row[Any]:
    """Return what is shown of one job, as `get_job` would; raise `NotFound`."""
    found = connection.execute(_SHOWN, {"wanted": job_id}).one_or_none()
    if found is None or owner not in (None, found.owner):
        raise _none(job_id)
    return found


class Filter(NamedTuple):
    """Which jobs a listing shows; None and nothing at all stand for any."""

    states: Sequence[State] = ()
    owner: str | None = None
    label: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    #: The code of an error: of jobs that failed by it.
    code: str | None = None
    batch_id: str | None = None

    @property
    def among(self) -> Sequence[State]:
        """The states to look in; an error's code is had by what failed alone."""
        states = self.states or list(State)
        return [state for state in states if self.code is None or state == State.FAILED]


ANY = Filter()


def list_jobs(session: Session, wanted: Filter = ANY, *, before: str | None = None, limit: int) -> list[Job]:
    """Return up to `limit` jobs, newest first, those further back than the place `before`.

    A page of each state is read by an index that ends with the place, and the newest of all of them are taken.
    """
    if not wanted.among:
        return []
    pages = union_all(*(_page(wanted, state, before, limit) for state in wanted.among)).subquery()
    newest = select(pages.c.id).order_by(pages.c.sort_id.desc()).limit(limit).subquery()
    query = select(Job).where(Job.id.in_(select(newest.c.id))).order_by(Job.sort_id.desc())
    return list(session.scalars(query))


def _page(wanted: Filter, state: State, before: str | None, limit: int) -> Select[tuple[str, str]]:
    query = select(Job.id, Job.sort_id).where(*conditions(wanted, state)).order_by(Job.sort_id.desc()).limit(limit)
    if before is not None:
        query = query.where(Job.sort_id < before)
    page = query.subquery()  # SQLite wants one around each ordered part of a union
    return select(page.c.id, page.c.sort_id)


def count_jobs(session: Session, wanted: Filter, *, most: int) -> int:
    """Count jobs, exactly up to `most` and no further, so that it costs the same however many there are.

    Moments count to the millisecond, which an index has.
    """
    if not wanted.among:
        return 0
    pages = (select(Job.sort_id).where(*conditions(wanted, state, exactly=False)).limit(most) for state in wanted.among)
    found = union_all(*(select(page.subquery()) for page in pages)).limit(most).subquery()
    return session.scalar(select(func.count()).select_from(found)) or 0


def conditions(wanted: Filter, state: State, *, exactly: bool = True) -> list[ColumnElement[bool]]:
    """Write what holds of the jobs in `state` that are wanted, their moments `exactly` or to the millisecond."""
    equal = {
        Job.owner: wanted.owner,
        Job.label: wanted.label,
        Job.batch_id: wanted.batch_id,
        Job.error_code: wanted.code,
    }
    found = [Job.state == state, *(column == value for column, value in equal.items() if value is not None)]
    if wanted.created_after is not None:
        found.append(Job.sort_id >= ids.first_at(wanted.created_after))
    if wanted.created_before is not None:  # a place is given just before, and has whole milliseconds
        latest = ids.first_at(wanted.created_before + timedelta(milliseconds=1))
        found.append(Job.sort_id < latest)
    return found + _moments(wanted) if exactly else found


def _moments(wanted: Filter) -> list[ColumnElement[bool]]:
    after, before = wanted.created_after, wanted.created_before
    return [*([Job.created_at > after] if after else []), *([Job.created_at < before] if before else [])]


def list_running_on(session: Session, worker: str) -> list[Job]:
    """Return the jobs that a worker runs."""
    query = select(Job).where(Job.state == State.RUNNING, Job.worker == worker).order_by(Job.id)
    return list(session.scalars(query))


def running_by_worker(session: Session) -> dict[str, str]:
    """Return the job that each working worker runs."""
    query = select(Job.worker, Job.id).where(Job.state == State.RUNNING).order_by(Job.started_at)
    return {worker: job_id for worker, job_id in session.execute(query) if worker is not None}


def list_events(session: Session, job_id: str) -> list[JobEvent]:
    """Return what happened to a job, oldest first."""
    return list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)))


def get_image(session: Session, image_id: str, *, owner: str | None = None) -> Image:
    """Return one image whose bytes are kept, uploaded by that owner unless it is None; raise `NotFound`."""
    found = get_images(session, [image_id], owner=owner).get(image_id)
    if found is None:
        raise NotFound(f"There is no image {image_id}.")
    return found


def get_jobs(session: Session, job_ids: Collection[str]) -> dict[str, Job]:
    """Return those jobs that there are, by their ids."""
    return {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(job_ids)))}


def find_equal_results(session: Session, job: Job, *, most: int = 5) -> list[Job]:
    """Return jobs of the same owner's that became what `job` would with the same weights, the newest first."""
    query = select(Job).where(Job.work_key == job.work_key, Job.owner == job.owner, Job.id != job.id)
    query = query.where(Job.state == State.SUCCEEDED, Job.files_gone_at.is_(None))
    return list(session.scalars(query.order_by(Job.sort_id.desc()).limit(most)))


def get_images(session: Session, image_ids: Collection[str], *, owner: str | None = None) -> dict[str, Image]:
    """Return those of the images whose bytes are kept and that the owner has uploaded; None sees all."""
    query = select(Image).where(Image.id.in_(image_ids), Image.gone_at.is_(None))
    if owner is not None:
        query = query.join(ImageOwner, ImageOwner.image_id == Image.id).where(ImageOwner.owner == owner)
    return {image.id: image for image in session.scalars(query)}


def busy_s(session: Session, limit: int = 1_000) -> list[float]:
    """Return for how long each working worker still paints, in seconds: what its jobs say, together painted or not.

    Before its first step a job has said nothing, and what was predicted holds.
    """
    running = select(Job.worker, Job.progress, Job.predicted_s).where(Job.state == State.RUNNING).limit(limit)
    left: dict[str | None, float] = {}
    for worker, progress, predicted_s in session.execute(running):
        left_s = (progress["eta_s"] if progress else predicted_s) or 0.0
        left[worker] = max(left.get(worker, 0.0), float(left_s))
    return list(left.values())


def count_ended_since(session: Session, seconds: float) -> dict[tuple[str, str], int]:
    """Count the jobs that ended within so many seconds, by state and code of error; of very many only the last."""
    code = func.coalesce(Job.error_code, "").label("code")
    lately = select(Job.state, code).where(Job.ended_at > sql_clock.now_plus(-seconds))
    ended = lately.order_by(Job.ended_at.desc()).limit(_MOST_ENDED).subquery()
    query = select(ended.c.state, ended.c.code, func.count()).group_by(ended.c.state, ended.c.code)
    return {(state, error): count_jobs for state, error, count_jobs in session.execute(query)}


def list_failed_since(session: Session, seconds: float, *, most: int) -> list[tuple[str, datetime]]:
    """Return the code and the moment of each failure within so many seconds; of very many only the last."""
    failed = select(Job.error_code, Job.ended_at).where(
        Job.error_code.is_not(None), Job.ended_at > sql_clock.now_plus(-seconds)
    )
    found = session.execute(failed.order_by(Job.ended_at.desc()).limit(most))
    return [(code, at) for code, at in found if code is not None and at is not None]


def oldest_waiting(session: Session) -> datetime | None:
    """Return since when the oldest of the waiting jobs waits."""
    return session.scalar(select(Job.created_at).where(Job.state == State.QUEUED).order_by(Job.sort_id).limit(1))


def get_backlog(session: Session) -> Backlog:
    """Count what waits and runs."""
    counted = select(func.count()).select_from(Job)
    return Backlog(
        queued=session.scalar(counted.where(Job.state == State.QUEUED)) or 0,
        running=session.scalar(counted.where(Job.state == State.RUNNING)) or 0,
        sent=session.scalar(counted.where(Job.dispatched_at.is_not(None))) or 0,
        oldest_at=oldest_waiting(session),
    )
