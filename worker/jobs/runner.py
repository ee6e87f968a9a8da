"""Runs the jobs of a message: claim → load → paint → store → finish.

Knows neither Celery nor TensorFlow; the painter is handed in. Jobs of a group are painted in one run of the engine, but
each holds its own claim and ends by itself, while the others go on. Only an error of the painter itself ends all that
it was painting. An attempt that loses its claim drops its work. `worker.jobs.attempt` has what happens to one job.

Invariant: once a job is claimed, errors end attempts and never leave `run`, so no image, however odd, stops a worker.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from sqlalchemy import select
from structlog.contextvars import bound_contextvars

from shared import logs
from shared.db.base import Database
from shared.db.jobs import claims, dispatch_order, queries
from shared.db.jobs.claims import LostRace
from shared.db.models import Job
from shared.errors import AtelierError, DatabaseUnavailable
from shared.painting.sizes import Size, scale_sizes
from shared.states import State
from worker.engine.types import Chunk, Style
from worker.jobs.attempt import Attempt
from worker.jobs.context import WorkerContext
from worker.jobs.outcome import Outcome
from worker.jobs.phases import Phase

#: The fewest attempts worth handling together.
_LEAST_TOGETHER = 2

log = logs.get(__name__)


def run(job_ids: Sequence[str], context: WorkerContext) -> dict[str, State]:
    """Run jobs, a group at a time; return the state in which each is left.

    Jobs that could not be claimed, or whose claim was lost, are not in the answer; dispatch sends the former again.
    """
    states: dict[str, State] = {}
    try:
        groups = _groups(job_ids, context.database)
    except DatabaseUnavailable as error:
        log.warning("jobs_not_claimed", job_ids=list(job_ids), code=error.code)
        return states
    for group in groups:
        if not context.draining():
            states |= _run_group(group, context)
    return states


def _groups(job_ids: Sequence[str], database: Database) -> list[list[str]]:
    """Split jobs into groups to be painted together. A job that was claimed before goes alone, as in dispatch."""
    if len(job_ids) == 1:
        return [list(job_ids)]
    fresh = select(Job.id, Job.group_key).where(Job.id.in_(job_ids), Job.attempt == 0)
    with database.autocommit() as connection:
        keys = dict(list(connection.execute(fresh)))
    groups: dict[str, list[str]] = {}
    for job_id in dict.fromkeys(job_ids):
        groups.setdefault(keys.get(job_id) or job_id, []).append(job_id)
    return list(groups.values())


def _run_group(job_ids: list[str], context: WorkerContext) -> dict[str, State]:
    attempts = _claim(job_ids, context)
    with ExitStack() as held:
        for attempt in attempts:
            held.enter_context(attempt.heartbeat)
        _for_each(attempts, lambda attempt: attempt.load(len(attempts)), context)
        _finish(attempts, context)
        _paint(_in_phase(Phase.PAINTING, attempts), context)
        _finish(attempts, context)
    return {attempt.claim.job_id: attempt.state for attempt in attempts if attempt.state is not None}


# -- the pipeline, a step at a time


def _claim(job_ids: list[str], context: WorkerContext) -> list[Attempt]:
    """Claim the jobs that can be had; free the others, whose message came to the wrong worker, to be sent again."""
    claimed_at = time.monotonic()
    weights, lease_s = context.painter.weights, context.settings.lease_s
    try:
        with context.database.writing("claim") as session:
            claimed = claims.claim_jobs(session, job_ids, worker=context.name, weights=weights, lease_s=lease_s)
            missed = set(job_ids) - {claim.job_id for claim in claimed}
            dispatch_order.mark_dispatched(session, sorted(missed), None)
            jobs = queries.get_jobs(session, [claim.job_id for claim in claimed])
    except DatabaseUnavailable as error:
        log.warning("jobs_not_claimed", job_ids=job_ids, code=error.code)
        return []
    for job_id in missed:
        log.info("job_not_claimed", job_id=job_id)
    for claim in claimed:
        log.info("job_claimed", job_id=claim.job_id, attempt=claim.attempt)
    return [Attempt(claim, jobs[claim.job_id], context, claimed_at=claimed_at) for claim in claimed]


def _paint(attempts: list[Attempt], context: WorkerContext) -> None:
    """Paint jobs of one style together; each takes its own chunks."""
    if not attempts:
        return
    with _errors_end(attempts):
        styles = context.images.styles(attempts[0].job.styles)
        together = _of_same_sizes(attempts, styles, context) if len(attempts) > 1 else attempts
        if not together:
            return
        subjects = [attempt.loaded.subject for attempt in together]
        painting = context.painter.paint(
            subjects, styles, together[0].loaded.params, wanted=lambda number: together[number].phase is Phase.PAINTING
        )
        for chunks in painting:
            _take({together[number]: chunk for number, chunk in chunks.items()}, context)
        if _in_phase(Phase.PAINTING, together):
            raise AtelierError("The engine stopped before its last step.")


def _take(chunks: Mapping[Attempt, Chunk], context: WorkerContext) -> None:
    """Hand each attempt its chunk; store and finish those that end with it."""
    _for_each(_in_phase(Phase.PAINTING, chunks), lambda attempt: attempt.take(chunks[attempt]), context)
    _store(_in_phase(Phase.STORING, chunks), context)
    _finish(chunks, context)


def _store(attempts: Sequence[Attempt], context: WorkerContext) -> None:
    """Store the attempts' files: all together or, if that fails, each attempt's by themselves."""
    if len(attempts) >= _LEAST_TOGETHER:
        try:
            context.store.put_all({key: data for attempt in attempts for key, data in attempt.files.items()})
        except Exception:  # so that one attempt's files hold up no other's
            log.warning("group_not_stored", exc_info=True)
        else:
            for attempt in attempts:
                _guarded(attempt, Attempt.stored)
            return
    _for_each(attempts, Attempt.store, context)


def _finish(attempts: Iterable[Attempt], context: WorkerContext) -> None:
    """Write the outcomes that are known: plain successes together, the others one by one."""
    finishing = _in_phase(Phase.FINISHING, attempts)
    _finish_together(finishing, context)
    for attempt in _in_phase(Phase.FINISHING, finishing):
        _guarded(attempt, Attempt.finish)


def _finish_together(attempts: Sequence[Attempt], context: WorkerContext) -> None:
    """Write the plain successes among `attempts` in one transaction; if that fails, leave them as they are."""
    successes = {attempt: success for attempt in attempts if (success := attempt.success) is not None}
    if len(successes) < _LEAST_TOGETHER:
        return
    try:
        with context.database.writing("finish") as session:
            done = claims.succeed_all(session, list(successes.values()))
    except Exception:  # so that one attempt's end holds up no other's
        log.warning("group_not_finished", exc_info=True)
        return
    context.progress.ended(sorted(done), State.SUCCEEDED)
    for attempt in successes:
        with _logged(attempt), _errors_end([attempt]):
            if attempt.claim.job_id not in done:
                raise LostRace(attempt.claim)
            attempt.finished(State.SUCCEEDED)


# -- what can be painted together


def _of_same_sizes(attempts: list[Attempt], styles: Sequence[Style], context: WorkerContext) -> list[Attempt]:
    """Keep the attempts that pass through the same sizes as the first; return the others, to be painted alone.

    Their group key cannot tell: a narrow style makes all start at a larger scale, where two contents may differ by a
    pixel.
    """
    shapes = [style.picture.shape for style in styles]
    kept: list[Attempt] = []

    def sizes(attempt: Attempt) -> list[Size]:
        return scale_sizes(attempt.loaded.params, attempt.loaded.subject.content.shape, shapes)

    def keep_or_return(attempt: Attempt) -> None:
        if kept and sizes(attempt) != sizes(kept[0]):
            attempt.end(Outcome(State.QUEUED, reason="alone"))
        else:
            kept.append(attempt)

    for attempt in attempts:
        _guarded(attempt, keep_or_return)
    _finish(attempts, context)
    return kept


# -- attempts and their errors


def _in_phase(phase: Phase, attempts: Iterable[Attempt]) -> list[Attempt]:
    return [attempt for attempt in attempts if attempt.phase is phase]


def _for_each(attempts: Sequence[Attempt], act: Callable[[Attempt], None], context: WorkerContext) -> None:
    """Do something for each attempt, several at a time."""
    if len(attempts) >= _LEAST_TOGETHER:
        list(context.pool.map(lambda attempt: _guarded(attempt, act), attempts))
    elif attempts:
        _guarded(attempts[0], act)


def _guarded(attempt: Attempt, act: Callable[[Attempt], None]) -> None:
    """Do something for one attempt, whose errors end it alone."""
    with _logged(attempt), _errors_end([attempt]):
        act(attempt)


def _logged(attempt: Attempt) -> AbstractContextManager[None]:
    """Name the attempt in every log line."""
    return bound_contextvars(job_id=attempt.claim.job_id, attempt=attempt.claim.attempt)


@contextmanager
def _errors_end(attempts: Sequence[Attempt]) -> Iterator[None]:
    """Have an error end the attempts that have no outcome yet."""
    try:
        yield
    except LostRace:
        log.warning("claim_lost")
        for attempt in attempts:
            attempt.drop()
    except AtelierError as error:
        log.warning("attempt_failed", code=error.code, reason=error.detail)
        for attempt in attempts:
            attempt.fail(error)
    except Exception as cause:
        log.exception("attempt_failed", code=AtelierError.code)
        unexpected = AtelierError("The worker met an unexpected error; its log has the details.")
        unexpected.__cause__ = cause
        for attempt in attempts:
            attempt.fail(unexpected)
