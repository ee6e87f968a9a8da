"""What a run leaves in storage: the picture, its losses as columns, and its manifest.

The manifest says everything that decided the picture, so that it can be explained and painted again.

Invariant: every key holds the attempt, so a late worker never writes over a newer one's files; the value
returned by `store_result` names only files that are whole.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib.metadata import version
from typing import Any

from shared import clock, images
from shared.db.models import Job
from shared.storage import ImageStore, attempt_key
from worker.engine.steps import Picture
from worker.painter import Painter
from worker.reporter import Reporter

#: `ru_maxrss` counts kilobytes on Linux and bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def store_result(
    job: Job, picture: Picture, *, partial: bool, store: ImageStore, painter: Painter, reporter: Reporter
) -> dict[str, Any]:
    """Store the files of a painted or half-painted job; return what the database keeps of them.

    Raises `StorageFull` or `StorageUnavailable`.
    """

    def keep(name: str, data: bytes) -> str:
        key = attempt_key(job.id, job.attempt, name)
        store.put(key, data)
        return key

    png = images.encode(picture, format="png")
    height, width = picture.shape[:2]
    result = {"width": width, "height": height, "bytes": len(png), "format": "png", "partial": partial}
    manifest = _manifest(job, result, painter, reporter)
    return {
        **result,
        "key": keep("result.png", png),
        "losses_key": keep("losses.json", json.dumps(reporter.columns).encode()),
        "manifest_key": keep("manifest.json", json.dumps(manifest, indent=2).encode()),
    }


def _manifest(job: Job, result: dict[str, Any], painter: Painter, reporter: Reporter) -> dict[str, Any]:
    columns = reporter.columns
    return {
        "job": job.id,
        "attempt": job.attempt,
        "worker": job.worker,
        "atelier": version("atelier"),
        "preset": job.preset,
        "params": job.params,
        "content": job.content_id,
        "styles": job.styles,
        "weights": painter.weights,
        "device": painter.device,
        "result": result,
        "steps": len(columns["step"]),
        "losses": {"first": _losses(columns, 0), "last": _losses(columns, -1)},
        "started_at": clock.rfc3339(job.started_at),
        "painted_at": clock.rfc3339(clock.now()),
        "paint_s": round(time.monotonic() - reporter.began_at, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
    }


def _losses(columns: dict[str, list[float]], index: int) -> dict[str, float]:
    return {name: columns[name][index] for name in ("total", "content", "style", "tv")}
