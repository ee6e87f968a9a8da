"""What is known of how long jobs take and what goes before them: bounded questions, however long the queue.

Invariant: no question here reads more than `_MOST` rows of the queue.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import CTE, BigInteger, ColumnElement, ScalarSelect, and_, case, exists, func, literal, select
from sqlalchemy.orm import Session, aliased

from shared.db.jobs import dispatch_order
from shared.db.models import Batch, Job
from shared.painting.forecasts import Sample
from shared.states import BatchState, State

#: Beyond this many, nobody cares how many jobs go before.
_MOST = 10_000
#: Lanes that are looked at, one by one.
_MOST_LANES = 1_000
#: Jobs ahead whose times are added up; those behind them are taken to be like them.
_LOOKED_AT = 500


class JobsAhead(NamedTuple):
    """What goes before a job: how many jobs, and their predicted time in seconds, None if nobody could predict one."""

    jobs: int
    seconds: float | None


class Times(NamedTuple):
    """Seconds that recent jobs waited and ran."""

    waits_s: list[float]
    runs_s: list[float]


class _Waiter(NamedTuple):
    """Where a job stands in line: a batch's priority is that of its items."""

    queue_key: str
    priority: int
    sort_id: str
    batched: bool = False


class EtaOutcome(NamedTuple):
    """When a job was promised to end, and when it did."""

    created_at: datetime
    p50_at: datetime
    p90_at: datetime
    ended_at: datetime


def samples(session: Session, limit: int) -> list[Sample]:
    """Return the jobs that succeeded last, at their first attempt."""
    job = _last(limit)
    query = select(job.preset, job.params, job.predicted_s, job.started_at, job.ended_at)
    rows = session.execute(query.where(_succeeded(job), job.attempt == 1, job.started_at.is_not(None)).limit(limit))
    return [
        Sample(preset, int(params.get("size", 0)), predicted_s, max(0.001, (ended - started).total_seconds()))
        for preset, params, predicted_s, started, ended in rows
        if started and ended
    ]


def recent_times(session: Session, limit: int) -> Times:
    """Return how long the jobs that succeeded last waited and ran."""
    job = _last(limit)
    query = select(job.created_at, job.started_at, job.ended_at).where(_succeeded(job), job.started_at.is_not(None))
    rows = [(made, started, ended) for made, started, ended in session.execute(query.limit(limit)) if started and ended]
    return Times(
        [max(0.0, (started - made).total_seconds()) for made, started, _ in rows],
        [max(0.0, (ended - started).total_seconds()) for _, started, ended in rows],
    )


def list_eta_outcomes(session: Session, limit: int) -> list[EtaOutcome]:
    """Return what was promised of the jobs that succeeded last, and what came of it."""
    job = _last(limit)
    query = select(job.created_at, job.eta_p50_at, job.eta_p90_at, job.ended_at).where(_succeeded(job))
    return [
        EtaOutcome(made, p50_at, p90_at, ended)
        for made, p50_at, p90_at, ended in session.execute(query.where(job.eta_p50_at.is_not(None)).limit(limit))
        if p50_at and p90_at and ended
    ]


def _last(limit: int) -> type[Job]:
    """Choose the jobs that ended last, last first: enough to find `limit` of some kind among them, and no more."""
    ended = select(Job).where(Job.ended_at.is_not(None)).order_by(Job.ended_at.desc())
    return aliased(Job, ended.limit(4 * limit).subquery())


def _succeeded(job: type[Job]) -> ColumnElement[bool]:
    return job.state == State.SUCCEEDED


def count_ahead(session: Session, owner: str, priority: int, place: str, batch_id: str | None = None) -> JobsAhead:
    """Say what goes before a job: more urgent ones, then those in no batch, then owners by turns, then by age."""
    waits = _Waiter(dispatch_order.owner_queue_key(owner), priority, place)
    if batch_id is not None:
        urgency = session.scalar(select(Batch.priority).where(Batch.id == batch_id)) or 0
        waits = _Waiter(batch_id, urgency, place, batched=True)
    among = () if waits.batched else (Job.priority == priority,)
    own = _counted(Job.queue_key == waits.queue_key, Job.sort_id < place, *among)
    total = min(_MOST, _walked(session, waits, session.scalar(select(own)) or 0))
    return JobsAhead(total, _seconds(session, total))


def _walked(session: Session, waits: _Waiter, own: int) -> int:
    """Go from lane to lane and add to `own` what each has before the job, until there are `_MOST`.

    Each step adds the jobs of the lane it is at, and finds the next one.
    """
    waiting = select(func.min(Job.queue_key)).where(Job.state == State.QUEUED)
    line = select(
        waiting.scalar_subquery().label("queue_key"), literal(own, BigInteger).label("jobs"), literal(0).label("step")
    )
    walk = line.cte("line", recursive=True)
    following = waiting.where(Job.queue_key > walk.c.queue_key).scalar_subquery()
    step = select(following, walk.c.jobs + _of_lane(walk, waits, own), walk.c.step + 1)
    step = step.where(walk.c.queue_key.is_not(None), walk.c.jobs < _MOST, walk.c.step < _MOST_LANES)
    return session.scalar(select(func.max(walk.union_all(step).c.jobs))) or 0


def _of_lane(walk: CTE, waits: _Waiter, own: int) -> ColumnElement[int]:
    """Count what the lane that is walked by has before a job with `own` before it in its own lane."""
    here = Job.queue_key == walk.c.queue_key
    batch = select(Batch.priority).where(Batch.id == walk.c.queue_key, Batch.state == BatchState.RUNNING)
    urgency = batch.correlate(walk).scalar_subquery()
    is_batch = exists().where(Batch.id == walk.c.queue_key).correlate(walk)
    is_own, turn = walk.c.queue_key == waits.queue_key, min(own + 1, _MOST)
    urgent = _counted(here, Job.priority > waits.priority, within=walk)
    alike = _counted(here, Job.priority == waits.priority, most=_MOST if waits.batched else turn, within=walk)
    of_batch = case(
        (is_own, 0),
        (urgency > waits.priority, _counted(here, within=walk)),
        (and_(urgency == waits.priority, literal(waits.batched)), _counted(here, most=turn, within=walk)),
        else_=0,
    )
    return case((is_batch, of_batch), (is_own, urgent), else_=urgent + alike)


def _counted(*where: ColumnElement[bool], most: int = _MOST, within: CTE | None = None) -> ScalarSelect[int]:
    """Count waiting jobs, up to `most`; conditions may speak of the row of `within` that is looked at."""
    found = select(Job.id).where(Job.state == State.QUEUED, *where).limit(most)
    if within is not None:
        found = found.correlate(within)
    return select(func.count()).select_from(found.subquery()).scalar_subquery()


def _seconds(session: Session, count: int) -> float | None:
    """Predict what the first `count` waiting jobs take, by the mean of those looked at."""
    if not count:
        return 0.0
    first = select(Job.predicted_s).where(Job.state == State.QUEUED).order_by(Job.sort_id).limit(min(count, _LOOKED_AT))
    mean = session.scalar(select(func.avg(first.subquery().c.predicted_s)))
    return None if mean is None else float(mean) * count
