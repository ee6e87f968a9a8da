"""The files of a result: picture, losses, manifest, film strip and, if asked for, a timelapse.

A run too short for two previews has no film strip. The manifest states everything that determined the picture, so
that it can be explained and painted again: all params, the weights, and every image by its id, the sha256 of its bytes.
Its keys are part of the API, since `api.client.manifest` and users' programs read them: add some, but rename none.

Invariant: every key contains the attempt, so a late worker never overwrites a newer attempt's files.
"""

import hashlib
import json
import resource
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

from shared import clock
from shared.db.models import Job
from shared.imaging import saving
from shared.imaging.metadata import Kept
from shared.painting.results import FILE_NAMES, FileKey, Result, ResultFacts, with_files
from shared.painting.steps import StepLosses
from shared.storage.store import attempt_key
from worker.engine.types import Mask, Picture
from worker.jobs.painter import Painter
from worker.jobs.reporter import Reporter

_VERSION = version("atelier")
#: `ru_maxrss` counts kilobytes on Linux and bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class PaintedImage(NamedTuple):
    """A picture to be stored, and its `timelapse` as an encoded animation.

    `alpha` is the opacity of the content at its original size; it is resized to the picture's when that is encoded.
    `kept` is what the picture is to keep of the content's metadata.
    `facts` are the engine's, about how it painted; `group` is the number of jobs painted together.
    """

    picture: Picture
    partial: bool
    alpha: Mask | None
    kept: Kept | None
    timelapse: bytes | None
    facts: Mapping[str, Any]
    group: int


def build_artifacts(
    job: Job, painted: PaintedImage, *, painter: Painter, reporter: Reporter
) -> tuple[Result, dict[str, bytes]]:
    """Encode a painted or partly painted job; return the result for its row, and the files to store first, by key."""
    height, width = painted.picture.shape[:2]
    png = saving.encode(painted.picture, painted.alpha, depth=job.depth, kept=painted.kept)
    facts = ResultFacts(
        width=width, height=height, bytes=len(png), format="png", partial=painted.partial, depth=job.depth
    )
    hashed = {**facts, "sha256": hashlib.sha256(png).hexdigest()}
    manifest = _inputs(job, painter) | _run_facts(job, painted, painter, reporter) | {"result": hashed}
    files: dict[FileKey, bytes] = {
        "key": png,
        "losses_key": json.dumps(reporter.columns).encode(),
        "manifest_key": json.dumps(manifest, indent=2).encode(),
    }
    if film_strip := reporter.film_strip.encoded():
        files["film_key"] = film_strip
    if painted.timelapse:
        files["timelapse_key"] = painted.timelapse
    keys = keys_for(job, files)
    return with_files(facts, keys), {keys[name]: data for name, data in files.items()}


def keys_for(job: Job, names: Mapping[FileKey, object]) -> dict[FileKey, str]:
    """Return the storage keys of the files `names` of the job's current attempt."""
    return {name: attempt_key(job.id, job.attempt, FILE_NAMES[name]) for name in names}


def _inputs(job: Job, painter: Painter) -> dict[str, Any]:
    """Describe what determined the picture; the same version of Atelier can paint it again from that."""
    masks = [style["mask"] for style in job.styles if style.get("mask")]
    images = {job.content_id, job.init_id, *masks, *(style["image"] for style in job.styles)} - {None}
    return {
        "atelier": _VERSION,
        "preset": job.preset,
        "params": job.params,
        "content": job.content_id,
        "styles": job.styles,
        "masks": masks,
        "init": job.init_id,
        "images": sorted(images),
        "weights": painter.weights,
        "depth": job.depth,
        "keep_metadata": job.keep_metadata,
    }


def _run_facts(job: Job, painted: PaintedImage, painter: Painter, reporter: Reporter) -> dict[str, Any]:
    """Describe the run; times are this attempt's alone.

    `paint_s` counts from the claim, loading included. `peak_memory_bytes` is the most main memory that the worker
    process ever held, in earlier jobs too; the device's peak is in `engine`.
    """
    columns = reporter.columns
    return {
        "job": job.id,
        "attempt": job.attempt,
        "worker": job.worker,
        "device": painter.device,
        "group": painted.group,
        "engine": dict(painted.facts),
        "steps": len(columns["step"]),
        "losses": {"first": _losses(columns, 0), "last": _losses(columns, -1)} if columns["step"] else None,
        "started_at": clock.rfc3339(job.started_at),
        "painted_at": clock.rfc3339(clock.now()),
        "paint_s": round(time.monotonic() - reporter.began_at, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
    }


def _losses(columns: Mapping[str, list[float]], row: int) -> dict[str, float]:
    return {name: columns[name][row] for name in StepLosses.__annotations__}
