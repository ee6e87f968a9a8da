"""Jobs tried again: another job that is asked for just as one that has ended was.

Invariant: what is tried again has all its pictures, and is in no batch: a batch puts successors in its items' places.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared import ids
from shared.db.models import Image, Job
from shared.errors import IllegalTransition, UnknownImage
from shared.painting import sizes
from shared.painting.params import StyleParams
from shared.states import TERMINAL

#: What a client asks for with a job, as columns.
_ASKED_FOR = (
    "owner", "preset", "params", "weights_wanted", "content_id", "styles", "init_id", "group_key", "work_key", "reuse",
    "priority", "label", "annotations", "predicted_s", "webhook", "time_limit_s", "retention_s",
)  # fmt: skip


def successor(former: Job) -> Job:
    """Make the job that tries `former` again, in no session yet; raise `IllegalTransition` if that has not ended."""
    if former.state not in TERMINAL:
        detail = f"The job is {former.state}; only one that has ended is tried again."
        raise IllegalTransition(detail, state=former.state)
    return Job(id=ids.new_id(), retry_of=former.id, **{name: getattr(former, name) for name in _ASKED_FOR})


def pictures_of(job: Job) -> set[str]:
    """Return the ids of all pictures that painting a job needs."""
    styles = {style[part] for style in job.styles for part in ("image", "mask") if style.get(part)}
    return {job.content_id, *styles, *([job.init_id] if job.init_id else [])}


def work_of(job: Job, images: Mapping[str, Image]) -> int:
    """Return what painting a job is, in px·steps; raise `UnknownImage` if a picture of it is not among `images`."""
    if gone := sorted(pictures_of(job) - set(images)):
        raise UnknownImage(f"Image {gone[0]} is gone; upload it again.", images=gone)
    names = [job.content_id, *(style["image"] for style in job.styles)]
    content, *styles = [(images[name].height, images[name].width) for name in names]
    return sizes.work(StyleParams.model_validate(job.params), content, styles)
