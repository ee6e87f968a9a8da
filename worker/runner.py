"""The life of one job in a worker: claim → load → paint → store → finish.

Knows neither Celery nor TensorFlow: the painter arrives ready made. Each stage is a short function, and the
whole ends in one `Outcome`, which becomes one conditional write. Whoever lost the claim drops the work.

Invariant: the picture lies in storage, whole, before the database says that it does; the only broad `except`
of the project is here, so that no picture, however odd, takes its worker down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from sqlalchemy.orm import Session

from shared import images, logs
from shared.db import jobs, queries, workers
from shared.db.base import Database
from shared.db.jobs import Claim, LostRace
from shared.db.models import Job
from shared.errors import (
    AtelierError,
    CorruptImage,
    DatabaseUnavailable,
    NotFound,
    StorageFull,
    TimedOut,
    WeightsUnavailable,
)
from shared.params import StyleParams
from shared.progress import ProgressWriter
from shared.settings import Settings
from shared.states import TERMINAL, State
from shared.storage import ImageStore, image_key
from worker import checkpoints, retries
from worker.checkpoints import Checkpointer
from worker.engine.steps import Chunk, Picture, Style
from worker.heartbeat import Heartbeat
from worker.outcome import Outcome
from worker.painter import Painter
from worker.records import store_result
from worker.reporter import Reporter

#: Pause between two tries to write a job's end to a database that is away, in seconds.
_FINISH_EVERY_S = 1.0

log = logs.get(__name__)


@dataclass(frozen=True)
class Studio:
    """Everything a worker needs to run jobs, opened once per process."""

    name: str
    settings: Settings
    database: Database
    store: ImageStore
    progress: ProgressWriter
    painter: Painter
    #: Whether this process is asked to end: it hands its job back and takes no other.
    draining: Callable[[], bool] = lambda: False
    #: Called when this process should be replaced after the job: its memory may be spoilt.
    spoil: Callable[[], None] = lambda: None


class _Attempt(NamedTuple):
    """One attempt at one job, and what keeps it."""

    job: Job
    claim: Claim
    studio: Studio
    heartbeat: Heartbeat
    reporter: Reporter
    checkpointer: Checkpointer


def run(job_id: str, studio: Studio) -> State | None:
    """Run one job and return the state it is left in; None if it was not to be had or its claim was lost."""
    if studio.draining():
        return None
    claimed_at = time.monotonic()
    claim = _claim(job_id, studio)
    if claim is None:
        log.info("job_not_claimed", job_id=job_id)
        return None
    lease_s = studio.settings.lease_s
    with (
        structlog.contextvars.bound_contextvars(job_id=job_id, attempt=claim.attempt),
        Heartbeat(claim, studio.database, lease_s=lease_s, claimed_at=claimed_at, leaving=studio.draining) as heartbeat,
    ):
        log.info("job_claimed")
        try:
            return _run_claimed(claim, studio, heartbeat)
        except LostRace:
            log.warning("claim_lost")
            return None


def _claim(job_id: str, studio: Studio) -> Claim | None:
    with studio.database.writing("claim") as session:
        weights = studio.painter.weights
        claim = jobs.claim(session, job_id, worker=studio.name, weights=weights, lease_s=studio.settings.lease_s)
        if claim is None:
            jobs.unsend(session, job_id)
    return claim


def _run_claimed(claim: Claim, studio: Studio, heartbeat: Heartbeat) -> State:
    reporter = Reporter(claim, heartbeat, studio.progress, studio.settings)
    outcome = _attempt(claim, studio, heartbeat, reporter)
    state = _finish_patiently(claim, studio, heartbeat, outcome)
    if state in TERMINAL:
        studio.progress.ended(claim.job_id, state)
    log.info("job_left", state=state, retry_after_s=outcome.retry.after_s if outcome.retry else None)
    return state


def _attempt(claim: Claim, studio: Studio, heartbeat: Heartbeat, reporter: Reporter) -> Outcome:
    """Load, paint and store; whatever goes wrong on the way is an outcome too."""
    job = None
    try:
        with studio.database.reading() as session:
            job = queries.job(session, claim.job_id)
        checkpointer = Checkpointer(job.id, claim.attempt, studio.store, studio.settings.checkpoint_s)
        return _paint(_Attempt(job, claim, studio, heartbeat, reporter, checkpointer))
    except LostRace:
        raise
    except AtelierError as error:
        log.warning("attempt_failed", code=error.code, reason=error.detail)
        return _after(error, job, studio)
    except Exception:
        log.exception("attempt_failed", code=AtelierError.code)
        return _after(
            AtelierError("The worker met an error that it does not know; its log has the details."), job, studio
        )


def _after(error: AtelierError, job: Job | None, studio: Studio) -> Outcome:
    """Decide what becomes of a job whose attempt met an error."""
    if retries.spoils_process(error):
        studio.spoil()
    tried = job.retries if job else 0
    retry = retries.decide(error, retries=tried)
    return Outcome(State.QUEUED if retry else State.FAILED, error=error, retry=retry)


def _check_weights(job: Job, weights: Mapping[str, Any]) -> None:
    if job.weights_wanted not in (None, weights["name"]):
        raise WeightsUnavailable(
            f"The job wants {job.weights_wanted} weights; this worker has {weights['name']}.",
            wanted=job.weights_wanted,
            available=weights["name"],
        )


def _load(studio: Studio, image_id: str) -> Picture:
    try:
        data = studio.store.get(image_key(image_id))
    except NotFound:
        raise CorruptImage(f"The bytes of image {image_id} are gone from storage.", image=image_id) from None
    return images.decode(data, max_px=studio.settings.max_upload_px).rgb


def _paint(attempt: _Attempt) -> Outcome:
    """Paint until the last step, a wish, a deadline or a drain; return how it ended."""
    job, studio = attempt.job, attempt.studio
    _check_weights(job, studio.painter.weights)
    attempt.heartbeat.ran_before_s = job.ran_s
    content = _load(studio, job.content_id)
    styles = [Style(_load(studio, style["image"]), style["weight"]) for style in job.styles]
    resumed = checkpoints.load(job, studio.store)
    attempt.reporter.start(resumed.columns if resumed else None)
    if resumed:
        log.info("job_resumed", step=job.checkpoint and job.checkpoint["step"])
    for chunk in studio.painter.paint(content, styles, StyleParams.model_validate(job.params), resumed.snapshot if resumed else None):
        outcome = _after_chunk(attempt, chunk)
        if outcome is not None:
            return outcome
    raise AtelierError("The engine stopped before its last step.")


def _after_chunk(attempt: _Attempt, chunk: Chunk) -> Outcome | None:
    """Report a chunk, and say how the attempt ends if it ends here."""
    wishes = attempt.reporter.chunk_done(chunk)
    if chunk.last == chunk.total:
        return _with_picture(attempt, chunk, Outcome(State.SUCCEEDED))
    if wishes.cancel:
        return _with_picture(attempt, chunk, Outcome(State.CANCELED))
    limit_s = attempt.job.time_limit_s or attempt.studio.settings.time_limit_s
    if attempt.heartbeat.ran_s > limit_s:
        error = TimedOut(f"The job has run for its {limit_s:g} s; it was at step {chunk.last} of {chunk.total}.")
        return _with_picture(attempt, chunk, Outcome(State.FAILED, error=error))
    leaving = wishes.drain or attempt.studio.draining()
    if leaving or attempt.checkpointer.due:
        _save(attempt, chunk)
    return Outcome(State.QUEUED) if leaving else None


def _with_picture(attempt: _Attempt, chunk: Chunk, outcome: Outcome) -> Outcome:
    """Store the picture as it is now; a picture that ends in a failure may be lost with it."""
    job, studio = attempt.job, attempt.studio
    result = store_result(
        job,
        chunk.image(),
        partial=outcome.state != State.SUCCEEDED,
        store=studio.store,
        painter=studio.painter,
        reporter=attempt.reporter,
    )
    attempt.heartbeat.check()
    return Outcome(outcome.state, result, outcome.error)


def _save(attempt: _Attempt, chunk: Chunk) -> None:
    """Save a checkpoint, then have the row name it."""
    checkpoint = attempt.checkpointer.save(chunk.snapshot(), attempt.reporter.columns)
    if checkpoint is None:
        return
    try:
        with attempt.studio.database.writing("checkpoint") as session:
            jobs.keep_checkpoint(session, attempt.claim, checkpoint)
    except DatabaseUnavailable as error:
        log.warning("checkpoint_not_kept", code=error.code)


def _finish_patiently(claim: Claim, studio: Studio, heartbeat: Heartbeat, outcome: Outcome) -> State:
    """Write the end, however long the database is away: the work is done and lies in storage."""
    while True:
        heartbeat.check()
        try:
            with studio.database.writing("finish") as session:
                return _finish(session, claim, heartbeat, outcome)
        except DatabaseUnavailable as error:
            log.warning("job_not_finished", code=error.code)
            time.sleep(_FINISH_EVERY_S)


def _finish(session: Session, claim: Claim, heartbeat: Heartbeat, outcome: Outcome) -> State:
    """Move on from running, to a terminal state or back to queued. Raises `LostRace`."""
    result, error = outcome.result, outcome.error
    # the last renewal: it takes the last step along, and refuses a claim that is void
    jobs.renew(session, claim, lease_s=_FINISH_EVERY_S, ran_s=heartbeat.ran_s, progress=heartbeat.progress)
    if isinstance(error, StorageFull):
        workers.hold_queue(session, error.code)
    if outcome.retry is not None and error is not None:
        return jobs.retry_later(session, claim, error, **outcome.retry._asdict())
    if outcome.state == State.QUEUED:
        return jobs.give_back(session, claim, reason="drain")
    if error is not None:
        jobs.fail(session, claim, error, result=result)
    elif outcome.state == State.CANCELED:
        jobs.stop(session, claim, result=result)
    else:
        jobs.succeed(session, claim, result=result or {})
    return outcome.state
