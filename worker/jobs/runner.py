"""The life of jobs in a worker: claim → load → paint → store → finish.

Knows neither Celery nor TensorFlow: the painter arrives ready made. Jobs that can be painted together are, in one
call of it; each has its own claim, and ends by itself in one `Outcome`, which becomes one conditional write, while
the others go on. Only an error of the painter itself is the outcome of all that it was painting. Whoever lost the
claim drops the work. What happens within one attempt is in `worker.jobs.attempt`.

Invariant: the only broad `except`s of the project are here, so that no picture, however odd, takes its worker down,
or another job with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from sqlalchemy import select
from structlog.contextvars import bound_contextvars

from shared import logs
from shared.db.jobs import claims, dispatch_order, queries
from shared.db.jobs.claims import Finished, LostRace
from shared.db.models import Job
from shared.errors import AtelierError, DatabaseUnavailable
from shared.painting.sizes import Size, scale_sizes
from shared.states import State
from worker.engine.types import Style
from worker.jobs.attempt import Attempt
from worker.jobs.context import Studio
from worker.jobs.outcome import Outcome

__all__ = ["Studio", "run"]

#: How many attempts that end at once are worth a statement of their own.
_WORTHWHILE = 2

log = logs.get(__name__)


def run(job_ids: Sequence[str], studio: Studio) -> dict[str, State]:
    """Run jobs, together or one after the other; return the state that each is left in.

    Those that were not to be had, or whose claim was lost, are not in the answer.
    """
    states: dict[str, State] = {}
    for group in _groups(job_ids, studio):
        if not studio.draining():
            states |= _run_together(group, studio)
    return states


def _groups(job_ids: Sequence[str], studio: Studio) -> list[list[str]]:
    """Part jobs into those to be painted together. One that was begun before goes alone, as dispatch has it."""
    if len(job_ids) == 1:
        return [list(job_ids)]
    fresh = select(Job.id, Job.group_key).where(Job.id.in_(job_ids), Job.attempt == 0)
    with studio.database.autocommit() as connection:
        keys = dict(list(connection.execute(fresh)))
    groups: dict[str, list[str]] = {}
    for job_id in dict.fromkeys(job_ids):
        groups.setdefault(keys.get(job_id) or job_id, []).append(job_id)
    return list(groups.values())


def _run_together(job_ids: list[str], studio: Studio) -> dict[str, State]:
    with ExitStack() as held:
        attempts = [held.enter_context(attempt) for attempt in _claimed(job_ids, studio)]
        _act_on_all(attempts, studio, lambda attempt: attempt.load(len(attempts)))
        _settle(attempts, studio)
        loaded = [attempt for attempt in attempts if attempt.painting]
        if loaded:
            with _caught(loaded):
                _paint(loaded, studio)
        _settle(loaded, studio)
    return {attempt.claim.job_id: attempt.state for attempt in attempts if attempt.state is not None}


def _claimed(job_ids: list[str], studio: Studio) -> list[Attempt]:
    """Claim the jobs that are to be had."""
    claimed_at = time.monotonic()
    weights, lease_s = studio.painter.weights, studio.settings.lease_s
    try:
        with studio.database.writing("claim") as session:
            claimed = claims.claim_jobs(session, job_ids, worker=studio.name, weights=weights, lease_s=lease_s)
            missed = set(job_ids) - {claim.job_id for claim in claimed}
            dispatch_order.mark_dispatched(
                session, sorted(missed), None
            )  # their message came to a worker that could not take them
            found = queries.get_jobs(session, [claim.job_id for claim in claimed])
    except DatabaseUnavailable as error:
        log.warning("jobs_not_claimed", job_ids=job_ids, code=error.code)
        return []
    for job_id in missed:
        log.info("job_not_claimed", job_id=job_id)
    for claim in claimed:
        log.info("job_claimed", job_id=claim.job_id, attempt=claim.attempt)
    return [Attempt(claim, found[claim.job_id], studio, claimed_at=claimed_at) for claim in claimed]


def _paint(attempts: list[Attempt], studio: Studio) -> None:
    """Paint jobs of one style together; each takes its own chunks, and ends by itself."""
    styles = studio.pictures.styles(attempts[0].job.styles)
    if len(attempts) > 1:
        attempts = _of_one_shape(attempts, styles, studio)
    if not attempts:
        return
    subjects = [attempt.subject for attempt in attempts]
    params = attempts[0].params
    for chunks in studio.painter.paint(subjects, styles, params, wanted=lambda number: attempts[number].painting):
        given = {id(attempts[number]): chunk for number, chunk in chunks.items()}
        taking = [attempts[number] for number in chunks]
        _act_on_all(taking, studio, lambda attempt, given=given: attempt.take(given[id(attempt)]))  # type: ignore[misc]
        _store([attempt for attempt in taking if attempt.painting and attempt.files], studio)
        _settle(taking, studio)
    if any(attempt.painting for attempt in attempts):
        raise AtelierError("The engine stopped before its last step.")


def _of_one_shape(attempts: list[Attempt], styles: Sequence[Style], studio: Studio) -> list[Attempt]:
    """Keep those that pass through the sizes of the first; the others go back, to be painted alone.

    A key cannot know: a narrow style makes all begin at a larger scale, where two contents may differ by a pixel.
    """
    shapes = [style.picture.shape for style in styles]
    kept: list[Attempt] = []
    for attempt in attempts:
        _act(attempt, lambda attempt: _join(attempt, kept, shapes))
    _settle(attempts, studio)
    return kept


def _join(attempt: Attempt, others: list[Attempt], styles: list[tuple[int, ...]]) -> None:
    if others and not _alike(attempt, others[0], styles):
        attempt.outcome = Outcome(State.QUEUED, reason="alone")
    else:
        others.append(attempt)


def _alike(attempt: Attempt, other: Attempt, styles: list[tuple[int, ...]]) -> bool:
    if attempt.subject.content.shape == other.subject.content.shape:
        return True
    return _sizes(attempt, styles) == _sizes(other, styles)


def _sizes(attempt: Attempt, styles: list[tuple[int, ...]]) -> list[Size]:
    return scale_sizes(attempt.params, attempt.subject.content.shape, styles)


def _act_on_all(attempts: Sequence[Attempt], studio: Studio, act: Callable[[Attempt], None]) -> None:
    """Do something for each attempt, several at a time."""
    if len(attempts) == 1:
        _act(attempts[0], act)
    else:
        list(studio.pool.map(lambda attempt: _act(attempt, act), attempts))


def _act(attempt: Attempt, act: Callable[[Attempt], None]) -> None:
    """Do something for one attempt alone; what goes wrong is its own outcome."""
    if attempt.painting:
        with _named(attempt), _caught([attempt]):
            act(attempt)


def _store(attempts: Sequence[Attempt], studio: Studio) -> None:
    """Store what attempts leave: all of it together or, if that goes wrong, of each by itself."""
    if len(attempts) >= _WORTHWHILE:
        try:
            studio.store.put_all({key: data for attempt in attempts for key, data in attempt.files.items()})
        except Exception:  # so that the one whose files cannot be stored keeps no other from it
            log.warning("group_not_stored", exc_info=True)
        else:
            for attempt in attempts:
                _act(attempt, Attempt.stored)
            return
    _act_on_all(attempts, studio, Attempt.store)


def _settle(attempts: Sequence[Attempt], studio: Studio) -> None:
    """Write how attempts ended, of which that is known: those that simply succeeded together, others one by one."""
    _settle_together({attempt: done for attempt in attempts if (done := attempt.finished) is not None}, studio)
    for attempt in attempts:
        if attempt.outcome is not None and not attempt.over:
            with _named(attempt), _caught([attempt]):
                attempt.finish()


def _settle_together(finished: dict[Attempt, Finished], studio: Studio) -> None:
    if len(finished) < _WORTHWHILE:
        return
    try:
        with studio.database.writing("finish") as session:
            done = claims.succeed_all(session, list(finished.values()))
    except Exception:  # then each by itself, so that the one that cannot be written keeps no other from it
        log.warning("group_not_finished", exc_info=True)
        return
    studio.progress.ended(sorted(done), State.SUCCEEDED)
    for attempt in finished:
        with _named(attempt), _caught([attempt]):
            if attempt.claim.job_id not in done:
                raise LostRace(attempt.claim)
            attempt.left(State.SUCCEEDED)


def _named(attempt: Attempt) -> AbstractContextManager[None]:
    """Have every line of the log name the attempt."""
    return bound_contextvars(job_id=attempt.claim.job_id, attempt=attempt.claim.attempt)


@contextmanager
def _caught(attempts: Sequence[Attempt]) -> Iterator[None]:
    """Let what goes wrong be the outcome of those attempts that have none yet."""
    error: AtelierError
    try:
        yield
        return
    except LostRace:
        log.warning("claim_lost")
        for attempt in attempts:
            attempt.drop()
        return
    except AtelierError as known:
        log.warning("attempt_failed", code=known.code, reason=known.detail)
        error = known
    except Exception as unknown:
        log.exception("attempt_failed", code=AtelierError.code)
        error = AtelierError("The worker met an error that it does not know; its log has the details.")
        error.__cause__ = unknown
    for attempt in attempts:
        attempt.fail(error)
