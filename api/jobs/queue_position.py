"""A waiting job's position in line, why it waits, and when it is expected to start."""

from sqlalchemy.orm import Session

from api.jobs import estimates
from api.jobs.estimates import Sizes
from api.live.forecaster import QueueForecast
from api.schemas import jobs
from shared.db import workers
from shared.db.batches import counts, lifecycle
from shared.db.jobs import queries
from shared.db.jobs.queries import ShownJob
from shared.errors import InvalidParams, TooLarge
from shared.painting.params import StyleParams
from shared.states import BatchState, State


def queue_view(session: Session, job: ShownJob, forecast: QueueForecast) -> jobs.QueueView:
    """Show where a queued job stands."""
    reason = _reason(session, job)
    starts_s = forecast.starts.p50_s if forecast.starts and reason == "turn" else None
    return jobs.QueueView(
        position=forecast.position, eta_s=None if starts_s is None else round(starts_s, 1), waiting_for=reason
    )


def _reason(session: Session, job: ShownJob) -> jobs.WaitingFor:
    """Say why a queued job does not run: of several reasons, the one that has to end first."""
    queue = workers.get_queue(session)
    if queue.paused_at or queue.held_for:
        return "paused"
    held = job.batch_id and _held_by_batch(session, job.batch_id)
    if held:
        return held
    if not workers.count_accepting(session):
        return "no_worker"
    return "turn" if _fits(session, job) else "no_worker_with_memory"


def _held_by_batch(session: Session, batch_id: str) -> jobs.WaitingFor | None:
    """Say why a batch starts none of its items, if it does not: `quota` if as many run as may at once."""
    batch = lifecycle.get_batch(session, batch_id)
    if batch.state != BatchState.RUNNING:
        return "paused"
    running = counts.count_items(session, [batch])[batch_id][State.RUNNING]
    return "quota" if batch.max_parallel is not None and running >= batch.max_parallel else None


def _fits(session: Session, job: ShownJob) -> bool:
    """Say whether a live worker can hold the job; memory is not why one waits whose pictures are gone."""
    wanted = [job.content_id, *(style["image"] for style in job.styles)]
    found = queries.get_images(session, set(wanted))
    if len(found) < len(set(wanted)):
        return True
    content, *styles = [(found[image_id].height, found[image_id].width) for image_id in wanted]
    try:
        estimates.estimate(session, StyleParams.model_validate(job.params), Sizes(content, styles))
    except TooLarge:
        return False
    except InvalidParams:
        return True
    return True
