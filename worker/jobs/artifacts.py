"""What a run leaves in storage: picture, losses as columns, manifest, film strip, and a timelapse if one was asked for.

A run that was too short for two previews has no film strip.

The manifest says everything that decided the picture, so that it can be explained and painted again: the params in
full, the weights, and every picture by its id, which is the sha256 of its bytes.

Invariant: every key holds the attempt, so a late worker never writes over a newer one's files.
"""

from __future__ import annotations

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
from shared.imaging import codec
from shared.storage.store import attempt_key
from worker.engine.types import Mask, Picture
from worker.jobs.painter import Painter
from worker.jobs.reporter import Reporter

#: The files of a result, by the names under which the database keeps their keys.
FILES = {
    "key": "result.png",
    "losses_key": "losses.json",
    "manifest_key": "manifest.json",
    "film_key": "film.webp",
    "timelapse_key": "timelapse.webp",
}
_VERSION = version("atelier")
#: `ru_maxrss` counts kilobytes on Linux and bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Painted(NamedTuple):
    """A picture to be kept: `alpha` is its content's opacity, of any size, and `timelapse` an encoded animation.

    `facts` are the engine's, of how it painted; `group` is how many jobs were painted together.
    """

    picture: Picture
    partial: bool
    alpha: Mask | None
    timelapse: bytes | None
    facts: Mapping[str, Any]
    group: int


class Left(NamedTuple):
    """What the database keeps of a result, and the files that have to be stored before, by their keys."""

    result: dict[str, Any]
    files: dict[str, bytes]


def left_by(job: Job, painted: Painted, *, painter: Painter, reporter: Reporter) -> Left:
    """Make the files of a painted or half-painted job."""
    height, width = painted.picture.shape[:2]
    png = codec.encode(painted.picture, painted.alpha, format="png")
    result = {"width": width, "height": height, "bytes": len(png), "format": "png", "partial": painted.partial}
    hashed = {**result, "sha256": hashlib.sha256(png).hexdigest()}
    manifest = _inputs(job, painter) | _course(job, painted, painter, reporter) | {"result": hashed}
    film = reporter.film.strip()
    files = {
        "key": png,
        "losses_key": json.dumps(reporter.columns).encode(),
        "manifest_key": json.dumps(manifest, indent=2).encode(),
        **({"film_key": film} if film else {}),
        **({"timelapse_key": painted.timelapse} if painted.timelapse else {}),
    }
    keys = {name: attempt_key(job.id, job.attempt, FILES[name]) for name in files}
    return Left({**result, **keys}, {keys[name]: data for name, data in files.items()})


def _inputs(job: Job, painter: Painter) -> dict[str, Any]:
    """Say what decided the picture; with the same version of Atelier it can be painted again."""
    masks = [style["mask"] for style in job.styles if style.get("mask")]
    pictures = {job.content_id, job.init_id, *masks, *(style["image"] for style in job.styles)} - {None}
    return {
        "atelier": _VERSION,
        "preset": job.preset,
        "params": job.params,
        "content": job.content_id,
        "styles": job.styles,
        "masks": masks,
        "init": job.init_id,
        "images": sorted(pictures),
        "weights": painter.weights,
    }


def _course(job: Job, painted: Painted, painter: Painter, reporter: Reporter) -> dict[str, Any]:
    """Say how the painting went."""
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


def _losses(columns: dict[str, list[float]], index: int) -> dict[str, float]:
    return {name: columns[name][index] for name in ("total", "content", "style", "tv")}
