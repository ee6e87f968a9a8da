"""What forecasts are made from: durations of recent jobs, and the jobs ahead of a queued one.

Every query is bounded, however long the backlog: jobs are counted up to `_MOST`, in at most `_MOST_QUEUES` queues.

Invariant: the jobs ahead follow the order of `dispatch_order`; change both together. Fairness is approximated: the
queues of other owners are taken to alternate with the job's own.
"""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import CTE, BigInteger, ColumnElement, ScalarSelect, and_, case, exists, func, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from shared.db.jobs import dispatch_order
from shared.db.models import Batch, Job
from shared.painting.forecasts import Sample
from shared.priorities import OWN_PRIORITY
from shared.states import BatchState, State

#: Jobs ahead are counted up to this number.
_MOST = 10_000
#: Queues read, one by one.
_MOST_QUEUES = 1_000
#: Jobs ahead whose predictions are averaged; the average holds for the others.
_SAMPLED = 500


class JobsAhead(NamedTuple):
    """The jobs ahead of a job: how many, and their predicted time in seconds; None if none has a prediction."""

    jobs: int
    seconds: float | None


class Times(NamedTuple):
    """How long recent jobs waited and ran, in seconds."""

    waits_s: list[float]
    runs_s: list[float]


class _Position(NamedTuple):
    """A job's position in the dispatch order; for an item, `priority` is its batch's."""

    owner: str
    queue_key: str
    priority: int
    batched: bool = False

    @property
    def lead(self) -> int:
        """The priority above which jobs of other owners go before it, whoever's turn it is."""
        return max(self.priority, OWN_PRIORITY)


class EtaOutcome(NamedTuple):
    """When a job was forecast to end, and when it did."""

    created_at: datetime
    p50_at: datetime
    p90_at: datetime
    ended_at: datetime


def samples(session: Session, limit: int) -> list[Sample]:
    """Return recent jobs that succeeded at their first attempt."""
    job = _recent(limit)
    query = select(job.preset, job.params, job.predicted_s, job.started_at, job.ended_at)
    rows = session.execute(query.where(_succeeded(job), job.attempt == 1, job.started_at.is_not(None)).limit(limit))
    return [
        Sample(preset, int(params.get("size", 0)), predicted_s, max(0.001, (ended - started).total_seconds()))
        for preset, params, predicted_s, started, ended in rows
        if started and ended
    ]


def recent_times(session: Session, limit: int) -> Times:
    """Return how long recent jobs that succeeded waited and ran."""
    job = _recent(limit)
    query = select(job.created_at, job.started_at, job.ended_at).where(_succeeded(job), job.started_at.is_not(None))
    rows = [(made, started, ended) for made, started, ended in session.execute(query.limit(limit)) if started and ended]
    return Times(
        [max(0.0, (started - made).total_seconds()) for made, started, _ in rows],
        [max(0.0, (ended - started).total_seconds()) for _, started, ended in rows],
    )


def list_eta_outcomes(session: Session, limit: int) -> list[EtaOutcome]:
    """Return the forecast and the actual end of recent jobs that succeeded."""
    job = _recent(limit)
    query = select(job.created_at, job.eta_p50_at, job.eta_p90_at, job.ended_at).where(_succeeded(job))
    return [
        EtaOutcome(made, p50_at, p90_at, ended)
        for made, p50_at, p90_at, ended in session.execute(query.where(job.eta_p50_at.is_not(None)).limit(limit))
        if p50_at and p90_at and ended
    ]


def _recent(limit: int) -> type[Job]:
    """Return an alias for the `4 * limit` jobs that ended last, newest first.

    Callers filter out those that did not succeed; unless most failed, `limit` are left.
    """
    ended = select(Job).where(Job.ended_at.is_not(None)).order_by(Job.ended_at.desc())
    return aliased(Job, ended.limit(4 * limit).subquery())


def _succeeded(job: type[Job]) -> ColumnElement[bool]:
    return job.state == State.SUCCEEDED


def count_ahead(session: Session, owner: str, priority: int, sort_id: str, batch_id: str | None = None) -> JobsAhead:
    """Count the jobs ahead of a job: its owner's, and as many of other owners as have their turns before it."""
    position = _Position(owner, dispatch_order.owner_queue_key(owner), priority)
    if batch_id is not None:
        batch_priority = session.scalar(select(Batch.priority).where(Batch.id == batch_id)) or 0
        position = _Position(owner, batch_id, batch_priority, batched=True)
    # an owner's jobs of higher priority are added by `_count_in_queue`; all items of a batch have one priority
    among = () if position.batched else (Job.priority == priority,)
    own = _count(Job.queue_key == position.queue_key, Job.sort_id < sort_id, *among)
    total = min(_MOST, _count_all(session, position, session.scalar(select(own)) or 0))
    return JobsAhead(total, _seconds(session, total))


def _count_all(session: Session, position: _Position, own: int) -> int:
    """Add to `own`, the jobs ahead in its own queue, those of every other queue, until there are `_MOST`.

    A recursive query visits the queues in order of their keys: each step counts in one queue and finds the next.
    """
    waiting = select(func.min(Job.queue_key)).where(Job.state == State.QUEUED)
    line = select(
        waiting.scalar_subquery().label("queue_key"), literal(own, BigInteger).label("jobs"), literal(0).label("step")
    )
    walk = line.cte("line", recursive=True)
    following = waiting.where(Job.queue_key > walk.c.queue_key).scalar_subquery()
    step = select(following, walk.c.jobs + _count_in_queue(walk, position, own), walk.c.step + 1)
    step = step.where(walk.c.queue_key.is_not(None), walk.c.jobs < _MOST, walk.c.step < _MOST_QUEUES)
    return session.scalar(select(func.max(walk.union_all(step).c.jobs))) or 0


def _count_in_queue(walk: CTE, position: _Position, own: int) -> ColumnElement[int]:
    """Count the jobs in the visited queue that go before a job with `own` jobs ahead in its own queue."""
    # owners take turns: before this job, each of the others' queues gets at most one turn more than its own
    share = min(own + 1, _MOST)
    is_own_queue = walk.c.queue_key == position.queue_key
    is_own_singles = walk.c.queue_key == dispatch_order.owner_queue_key(position.owner)
    is_batch = exists().where(Batch.id == walk.c.queue_key).correlate(walk)
    here = Job.queue_key == walk.c.queue_key
    least = position.priority if position.batched else position.priority + 1
    in_turn = (
        _count(here, Job.priority <= OWN_PRIORITY, most=share, within=walk) if position.lead == OWN_PRIORITY else 0
    )
    return case(
        (is_batch, case((is_own_queue, 0), else_=_count_in_batch(walk, position, share))),
        (is_own_singles, _count(here, Job.priority >= least, within=walk)),
        else_=_count(here, Job.priority > position.lead, within=walk) + in_turn,
    )


def _count_in_batch(walk: CTE, position: _Position, share: int) -> ColumnElement[int]:
    """Count the items of the visited batch, another than the job's own, that go before it."""

    def of_batch(column: InstrumentedAttribute[Any]) -> ScalarSelect[Any]:
        running = select(column).where(Batch.id == walk.c.queue_key, Batch.state == BatchState.RUNNING)
        return running.correlate(walk).scalar_subquery()

    priority, is_own = of_batch(Batch.priority), of_batch(Batch.owner) == position.owner
    here = Job.queue_key == walk.c.queue_key
    share = share if position.batched else share - 1  # of two owners' turns, a single job's comes first
    alternates = and_(priority == position.priority, literal(position.batched))
    takes_turns = and_(priority <= OWN_PRIORITY, literal(position.lead == OWN_PRIORITY))
    return case(
        (priority > case((is_own, position.priority), else_=position.lead), _count(here, within=walk)),
        (or_(and_(is_own, alternates), and_(~is_own, takes_turns)), _count(here, most=share, within=walk)),
        else_=0,
    )


def _count(*where: ColumnElement[bool], most: int = _MOST, within: CTE | None = None) -> ScalarSelect[int]:
    """Count queued jobs, up to `most`; conditions may refer to the current row of `within`."""
    found = select(Job.id).where(Job.state == State.QUEUED, *where).limit(most)
    if within is not None:
        found = found.correlate(within)
    return select(func.count()).select_from(found.subquery()).scalar_subquery()


def _seconds(session: Session, count: int) -> float | None:
    """Predict how long the first `count` queued jobs take, from the mean of up to `_SAMPLED` of them."""
    if not count:
        return 0.0
    first = select(Job.predicted_s).where(Job.state == State.QUEUED).order_by(Job.sort_id).limit(min(count, _SAMPLED))
    mean = session.scalar(select(func.avg(first.subquery().c.predicted_s)))
    return None if mean is None else float(mean) * count
