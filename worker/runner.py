"""The life of one job in a worker: claim → load → paint → store → finish.

Knows neither Celery nor TensorFlow: the painter arrives ready made. Each stage is a short function, and the
whole ends in one `Outcome`, which becomes one conditional write. Whoever lost the claim drops the work.

Invariant: the picture lies in storage, whole, before the database says that it does; the only broad `except`
of the project is here, so that no picture, however odd, takes its worker down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from shared import images, logs
from shared.db import jobs, queries
from shared.db.base import Database
from shared.db.jobs import Claim, LostRace
from shared.db.models import Job
from shared.errors import AtelierError, CorruptImage, NotFound, WeightsUnavailable
from shared.params import StyleParams
from shared.progress import ProgressWriter
from shared.settings import Settings
from shared.states import TERMINAL, State
from shared.storage import ImageStore, image_key
from worker.engine.steps import Picture, Style
from worker.outcome import Outcome
from worker.painter import Painter
from worker.records import store_result
from worker.reporter import Reporter

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


def run(job_id: str, studio: Studio) -> State | None:
    """Run one job and return the state it is left in; None if it was not to be had or its claim was lost."""
    if studio.draining():
        return None
    with studio.database.writing() as session:
        claim = jobs.claim(session, job_id, worker=studio.name, weights=studio.painter.weights)
    if claim is None:
        log.info("job_not_claimed", job_id=job_id)
        return None
    with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=claim.attempt):
        log.info("job_claimed")
        reporter = Reporter(claim, studio.database, studio.progress, studio.settings)
        try:
            outcome = _attempt(claim, studio, reporter)
            _finish(claim, studio, reporter, outcome)
        except LostRace:
            log.warning("claim_lost")
            return None
        if outcome.state in TERMINAL:
            studio.progress.ended(job_id, outcome.state)
        log.info("job_left", state=outcome.state)
        return outcome.state


def _attempt(claim: Claim, studio: Studio, reporter: Reporter) -> Outcome:
    """Load, paint and store; whatever goes wrong on the way is an outcome too."""
    try:
        with studio.database.reading() as session:
            job = queries.job(session, claim.job_id)
        _check_weights(job, studio.painter.weights)
        state, picture = _paint(job, studio, reporter)
        if state not in TERMINAL:
            return Outcome(state)
        result = store_result(job, picture, state, store=studio.store, painter=studio.painter, reporter=reporter)
        return Outcome(state, result)
    except LostRace:
        raise
    except AtelierError as error:
        log.warning("job_failed", code=error.code, reason=error.detail)
        return Outcome(State.FAILED, error=error)
    except Exception:
        log.exception("job_failed", code=AtelierError.code)
        unknown = AtelierError("The worker met an error that it does not know; its log has the details.")
        return Outcome(State.FAILED, error=unknown)


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


def _paint(job: Job, studio: Studio, reporter: Reporter) -> tuple[State, Picture]:
    """Paint until the last step, the client's wish to cancel or a drain; return the state then and the picture."""
    content = _load(studio, job.content_id)
    styles = [Style(_load(studio, style["image"]), style["weight"]) for style in job.styles]
    for chunk in studio.painter.paint(content, styles, StyleParams.model_validate(job.params)):
        canceled = reporter.chunk_done(chunk)
        if chunk.last == chunk.total:
            return State.SUCCEEDED, chunk.image()
        if canceled:
            return State.CANCELED, chunk.image()
        if studio.draining():
            return State.QUEUED, chunk.image()
    raise AtelierError("The engine stopped before its last step.")


def _finish(claim: Claim, studio: Studio, reporter: Reporter, outcome: Outcome) -> None:
    """Write the end: running → succeeded, canceled, failed or, drained, queued. Raises `LostRace`."""
    progress = reporter.latest
    with studio.database.writing() as session:
        if outcome.error is not None:
            jobs.fail(session, claim, outcome.error, progress=progress)
        elif outcome.state == State.QUEUED:
            jobs.give_back(session, claim, reason="drain")
        elif outcome.state == State.CANCELED:
            jobs.stop(session, claim, result=outcome.result, progress=progress)
        else:
            jobs.succeed(session, claim, result=outcome.result, progress=progress)
