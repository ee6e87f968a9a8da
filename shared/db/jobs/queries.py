"""Read-only queries: jobs, images, events, the backlog.

Listings are newest first with keyset pagination: sort ids increase with time, so a page starts below the last sort id
seen and costs the same at any depth.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, inspect, select, union_all
from sqlalchemy.orm import Session

from shared import ids
from shared.db import sql_clock
from shared.db.lookups import equal, visible
from shared.db.models import Image, ImageOwner, Job, JobEvent
from shared.states import State

#: Most recently ended jobs that are counted.
_MOST_ENDED = 50_000


class Backlog(NamedTuple):
    """Counts of queued, running and sent jobs, and the creation time of the oldest queued one."""

    queued: int
    running: int
    sent: int
    oldest_at: datetime | None


def get_job(session: Session, job_id: str, *, owner: str | None = None, locked: bool = False) -> Job:
    """Return a job, `owner`'s if given; raise `NotFound`. `locked`, it changes in no other transaction meanwhile."""
    return visible(session.get(Job, job_id, with_for_update=locked), f"job {job_id}", owner)


#: The attributes of a job that responses and forecasts need; those of dispatch, leases and checkpoints are left out.
SHOWN_COLUMNS = (
    "id", "sort_id", "owner", "state", "preset", "params", "weights", "weights_wanted", "content_id", "styles",
    "init_id", "priority", "label", "annotations", "batch_id", "item_key", "reused_from", "retry_of", "attempt",
    "retry_at", "start_by", "time_limit_s", "retention_s", "webhook", "worker", "progress", "error_code",
    "error_message", "error_retryable", "result", "created_at", "started_at", "ended_at", "expires_at",
    "files_gone_at", "predicted_s", "depth", "keep_metadata", "content_name",
)  # fmt: skip
#: A job, or the row of `get_job_row` with the same attributes.
ShownJob = Job | Row[Any]
#: Selects columns instead of the mapped class, four times as fast, and is built once, twice as fast.
_SHOWN_JOB = select(*(inspect(Job).columns[name].label(name) for name in SHOWN_COLUMNS)).where(
    inspect(Job).columns["id"] == bindparam("wanted")
)


def get_job_row(connection: Connection, job_id: str, *, owner: str | None = None) -> Row[Any]:
    """Return the columns `SHOWN_COLUMNS` of a job, `owner`'s if given; raise `NotFound`."""
    return visible(connection.execute(_SHOWN_JOB, {"wanted": job_id}).one_or_none(), f"job {job_id}", owner)


class Filter(NamedTuple):
    """Which jobs to list; None and an empty sequence match any."""

    states: Sequence[State] = ()
    owner: str | None = None
    label: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    #: The error code of failed jobs.
    code: str | None = None
    batch_id: str | None = None

    @property
    def among(self) -> Sequence[State]:
        """The states to search; only failed jobs have an error code."""
        states = self.states or list(State)
        return [state for state in states if self.code is None or state == State.FAILED]


ANY = Filter()


def list_jobs(session: Session, wanted: Filter = ANY, *, before: str | None = None, limit: int) -> list[Job]:
    """Return up to `limit` jobs, newest first, with sort ids below `before`."""
    if not wanted.among:
        return []
    further = [Job.sort_id < before] if before is not None else []
    newest = first_ids([[*conditions(wanted, state), *further] for state in wanted.among], limit, descending=True)
    return list(session.scalars(select(Job).where(Job.id.in_(newest)).order_by(Job.sort_id.desc())))


def first_ids(
    wheres: Iterable[Iterable[ColumnElement[bool]]], limit: int, *, descending: bool = False
) -> Select[tuple[str]]:
    """Select the ids of the first `limit` jobs by sort id that match any of `wheres`.

    Each alternative is read by itself, through an index on its columns and the sort id, and the results are merged.
    """
    key = Job.sort_id.desc() if descending else Job.sort_id.asc()
    pages = [select(Job.id, Job.sort_id).where(*where).order_by(key).limit(limit).subquery() for where in wheres]
    merged = union_all(*(select(page.c.id, page.c.sort_id) for page in pages)).subquery()  # SQLite needs subqueries
    return select(merged.c.id).order_by(merged.c.sort_id.desc() if descending else merged.c.sort_id).limit(limit)


def count_jobs(session: Session, wanted: Filter, *, most: int) -> int:
    """Count jobs up to `most`, which bounds the cost; creation times are compared by the millisecond."""
    if not wanted.among:
        return 0
    pages = (select(Job.sort_id).where(*conditions(wanted, state, exactly=False)).limit(most) for state in wanted.among)
    found = union_all(*(select(page.subquery()) for page in pages)).limit(most).subquery()
    return session.scalar(select(func.count()).select_from(found)) or 0


def conditions(wanted: Filter, state: State, *, exactly: bool = True) -> list[ColumnElement[bool]]:
    """Return the conditions for the jobs in `state`, with creation times compared `exactly` or by the millisecond.

    The sort id is what indexes have. It is assigned just before `created_at` and has whole milliseconds.
    """
    after, before = wanted.created_after, wanted.created_before
    columns = {Job.owner: wanted.owner, Job.label: wanted.label}
    found = [Job.state == state, *equal(columns | {Job.batch_id: wanted.batch_id, Job.error_code: wanted.code})]
    if after is not None:
        found += [Job.sort_id >= ids.first_at(after), *([Job.created_at > after] if exactly else [])]
    if before is not None:
        latest = ids.first_at(before + timedelta(milliseconds=1))
        found += [Job.sort_id < latest, *([Job.created_at < before] if exactly else [])]
    return found


def list_running_on(session: Session, worker: str) -> list[Job]:
    """Return the jobs that a worker is running."""
    query = select(Job).where(Job.state == State.RUNNING, Job.worker == worker).order_by(Job.id)
    return list(session.scalars(query))


def running_by_worker(session: Session) -> dict[str, str]:
    """Return the job that each busy worker is running, of a group the one started last."""
    query = select(Job.worker, Job.id).where(Job.state == State.RUNNING).order_by(Job.started_at)
    return {worker: job_id for worker, job_id in session.execute(query) if worker is not None}


def list_events(session: Session, job_id: str) -> list[JobEvent]:
    """Return the events of a job, oldest first."""
    return list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.id)))


def get_image(session: Session, image_id: str, *, owner: str | None = None) -> Image:
    """Return an image that still has its bytes, uploaded by `owner` if given; raise `NotFound`."""
    return visible(get_images(session, [image_id], owner=owner).get(image_id), f"image {image_id}")


def get_jobs(session: Session, job_ids: Collection[str]) -> dict[str, Job]:
    """Return the jobs that exist, by id."""
    return {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(job_ids)))}


def find_equal_results(session: Session, job: Job, *, most: int = 5) -> list[Job]:
    """Return the owner's succeeded jobs with the same result key as `job` and files, newest first."""
    query = select(Job).where(Job.work_key == job.work_key, Job.owner == job.owner, Job.id != job.id)
    query = query.where(Job.state == State.SUCCEEDED, Job.files_gone_at.is_(None))
    return list(session.scalars(query.order_by(Job.sort_id.desc()).limit(most)))


def get_images(session: Session, image_ids: Collection[str], *, owner: str | None = None) -> dict[str, Image]:
    """Return the images that still have their bytes, uploaded by `owner` if given, by id."""
    query = select(Image).where(Image.id.in_(image_ids), Image.gone_at.is_(None))
    if owner is not None:
        query = query.join(ImageOwner, ImageOwner.image_id == Image.id).where(ImageOwner.owner == owner)
    return {image.id: image for image in session.scalars(query)}


def busy_s(session: Session, limit: int = 1_000) -> list[float]:
    """Return the remaining time of each busy worker, in seconds: the longest of its jobs.

    Before its first step, a job's prediction counts.
    """
    running = select(Job.worker, Job.progress, Job.predicted_s).where(Job.state == State.RUNNING).limit(limit)
    left: dict[str | None, float] = {}
    for worker, progress, predicted_s in session.execute(running):
        left_s = (progress["eta_s"] if progress else predicted_s) or 0.0
        left[worker] = max(left.get(worker, 0.0), float(left_s))
    return list(left.values())


def count_ended_since(session: Session, seconds: float) -> dict[tuple[str, str], int]:
    """Count the jobs that ended in the last `seconds`, by state and error code; at most the last 50,000."""
    code = func.coalesce(Job.error_code, "").label("code")
    recent = select(Job.state, code).where(Job.ended_at > sql_clock.now_plus(-seconds))
    ended = recent.order_by(Job.ended_at.desc()).limit(_MOST_ENDED).subquery()
    query = select(ended.c.state, ended.c.code, func.count()).group_by(ended.c.state, ended.c.code)
    return {(state, error): count for state, error, count in session.execute(query)}


def list_failed_since(session: Session, seconds: float, *, most: int) -> list[tuple[str, datetime]]:
    """Return code and time of each failure in the last `seconds`, newest first, at most `most`."""
    failed = select(Job.error_code, Job.ended_at).where(
        Job.error_code.is_not(None), Job.ended_at > sql_clock.now_plus(-seconds)
    )
    found = session.execute(failed.order_by(Job.ended_at.desc()).limit(most))
    return [(code, at) for code, at in found if code is not None and at is not None]


def oldest_waiting(session: Session) -> datetime | None:
    """Return when the oldest queued job was created."""
    return session.scalar(select(Job.created_at).where(Job.state == State.QUEUED).order_by(Job.sort_id).limit(1))


def get_backlog(session: Session) -> Backlog:
    """Count the queued and running jobs."""
    counted = select(func.count()).select_from(Job)
    return Backlog(
        queued=session.scalar(counted.where(Job.state == State.QUEUED)) or 0,
        running=session.scalar(counted.where(Job.state == State.RUNNING)) or 0,
        sent=session.scalar(counted.where(Job.dispatched_at.is_not(None))) or 0,
        oldest_at=oldest_waiting(session),
    )
