"""Retrying jobs that have ended: a new job with the same request but for what is changed, outside any batch.

Items retried within their batch are made by `shared.db.batches.items`.
"""

from collections.abc import Mapping
from typing import Any

from shared import clock, ids, priorities
from shared.db.models import Image, Job
from shared.errors import IllegalTransition, UnknownImage
from shared.painting import sizes
from shared.painting.params import StyleParams
from shared.states import TERMINAL

#: The attributes that a client's request determines.
_REQUESTED = (
    "owner", "preset", "params", "weights_wanted", "content_id", "styles", "init_id", "group_key", "work_key", "reuse",
    "priority", "label", "annotations", "predicted_s", "webhook", "time_limit_s", "retention_s",
    "depth", "keep_metadata", "content_name",
)  # fmt: skip
#: Longest name of a photograph that a job may have, in characters.
_MOST_NAME = 255


def copy_for_retry(former: Job, changes: Mapping[str, Any] | None = None, *, keeps_lead: bool) -> Job:
    """Return a new job, in no session yet, that repeats `former` with other values for the attributes in `changes`.

    A time by which it had to start is kept unless it has passed, and a priority above all owners only if it
    `keeps_lead`: an operator asks. Raises `IllegalTransition` if `former` has not ended.
    """
    if former.state not in TERMINAL:
        detail = f"The job is {former.state}; only jobs that have ended can be retried."
        raise IllegalTransition(detail, state=former.state)
    requested = {name: getattr(former, name) for name in _REQUESTED}
    if former.item_key:  # the photograph of an item is known by its key, which a job outside the batch has not
        requested["content_name"] = former.content_name or former.item_key.rpartition("/")[2][:_MOST_NAME]
    if former.start_by is not None and former.start_by > clock.now():
        requested["start_by"] = former.start_by
    if not keeps_lead:
        requested["priority"] = priorities.capped(former.priority)
    return Job(id=ids.new_id(), retry_of=former.id, **(requested | dict(changes or {})))


def image_ids(job: Job) -> set[str]:
    """Return the ids of all images that painting a job needs."""
    styles = {style[part] for style in job.styles for part in ("image", "mask") if style.get(part)}
    return {job.content_id, *styles, *([job.init_id] if job.init_id else [])}


def compute_work(job: Job, images: Mapping[str, Image]) -> int:
    """Return the work of painting a job, in px·steps; raise `UnknownImage` unless `images` has all it needs."""
    if gone := sorted(image_ids(job) - set(images)):
        raise UnknownImage(f"Image {gone[0]} is gone; upload it again.", images=gone)
    names = [job.content_id, *(style["image"] for style in job.styles)]
    content, *styles = [(images[name].height, images[name].width) for name in names]
    return sizes.work(StyleParams.model_validate(job.params), content, styles)
