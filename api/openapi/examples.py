"""Examples of the models, which a test validates against their schemas.

The example of a job is serialized by the code that serializes real jobs.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.serializers.jobs import serialize_image, serialize_job
from shared import clock
from shared.db.models import DEFAULT_RETENTION_S, Image, Job
from shared.painting.params import DEFAULT_PRESET, resolve
from shared.states import State

_JOB_ID, _RETRIED_ID = "01a20750-e506-729a-9bdf-2a44836107f2", "01a20742-31c5-7d3e-8f60-0c8f4c1d2b7a"
_BATCH_ID = "01a20760-2b1d-7c44-9d0e-6f1a2b3c4d5e"
_OPERATION_ID, _KEY_ID = "01a20770-9c3e-7b21-8f4d-1e2d3c4b5a69", "k7f3a9c2d1e0b"
_CONTENT, _STYLE = f"sha256:{'3f' * 32}", f"sha256:{'a1' * 32}"
_CREATED_AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_CREATED = clock.rfc3339(_CREATED_AT)
_WEIGHTS = {"name": "imagenet", "sha256": "c0ffee" * 10 + "c0ff"}
_LOSSES = {"total": 1.84, "content": 0.61, "style": 1.17, "tv": 0.06}
# From here on, a table is wrapped like text: one field a line would fill pages.
# fmt: off
_WORKER = {
    "name": "studio-1", "state": "working", "wish": "work", "job_id": _JOB_ID,
    "weights": _WEIGHTS, "device": {"kind": "cpu", "name": "16 threads"},
    "memory": {"limit": 8_000_000_000, "held": 1_200_000_000, "peak": 2_100_000_000},
    "warm_styles": [_STYLE], "started_at": _CREATED, "seen_at": _CREATED,
}


def add(models: dict[str, Any]) -> None:
    """Add an example to each model that has none of its own."""
    for name, example in _examples().items():
        if name in models:
            models[name].setdefault("examples", [example])


def _examples() -> dict[str, Any]:
    job = serialize_job(_job()).model_dump(mode="json")
    return {
        "ImageView": serialize_image(_image(), _CREATED_AT, DEFAULT_RETENTION_S).model_dump(mode="json"),
        "JobView": job,
        "JobPage": {"jobs": [job], "next_cursor": None},
        "StrengthRequest": {"strength": 0.7},
        "DryRunView": _dry_run(),
        "EventsTokenView": {
            "token": "WyJrN2Yz…", "expires_at": _CREATED,
            "url": f"https://example.org/v1/jobs/{_JOB_ID}/events?token=WyJrN2Yz…",
        },
        "LossColumns": {
            "step": [1, 2], "scale": [0, 0], "total": [2.9, 1.84], "content": [0.9, 0.61], "style": [1.9, 1.17],
            "tv": [0.1, 0.06], "step_ms": [310.0, 302.5],
        },
        "WorkerView": _WORKER,
        "WorkersView": {"workers": [_WORKER]},
        "BacklogView": {
            "queued": 12, "running": 2, "sent": 4, "oldest_waiting_s": 93.4, "paused_at": None, "held_for": None,
            "workers": 2,
        },
        "HealthView": {"state": "alive"},
        "ReadinessView": {
            "state": "ready",
            "parts": {
                name: {"ok": True, "latency_ms": 0.8, "reason": None}
                for name in ("database", "storage", "redis", "maintenance")
            },
        },
        "StyleParams": {"size": 768, "steps": 30, "colors": "luminance"},
        **_of_batches(job), **_of_keys(), **_of_webhooks(job), **_of_operations(),
    }


def _of_batches(job: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/batches/{_BATCH_ID}"
    batch = {
        "id": _BATCH_ID, "owner": "shop", "state": "running", "label": "harbours", "metadata": {},
        "preset": DEFAULT_PRESET, "params": {"size": 768}, "weights": None, "matrix": None,
        "styles": [{"image": _STYLE, "weight": 1.0, "mask": None}],
        "depth": 8, "keep_metadata": False, "priority": 0, "max_parallel": 16, "reuse": True, "webhook": None,
        "time_limit_s": None, "retention_s": 86_400.0,
        "counts": {
            "total": 1000, "queued": 612, "running": 16, "succeeded": 371, "failed": 1, "canceled": 0, "expired": 0,
            "reused": 40,
        },
        "rate_per_min": 24.0, "eta_s": 1570.0, "created_at": _CREATED, "started_at": _CREATED, "ended_at": None,
        "links": {"self": path, "items": f"{path}/items", "results": f"{path}/results.jsonl"},
    }
    refused = {"line": 3, "key": "../c.jpg", "code": "unsafe_path", "detail": "/key: use a relative path."}
    return {
        "BatchView": batch,
        "OpenedView": {**batch, "added": None},
        "BatchPage": {"batches": [batch], "next_cursor": None},
        "RetriedView": {"retried": 1, "batch": batch},
        "AddedView": {
            "added": 998, "existing": 1, "rejected": 1, "skipped": 0, "unreadable": {"cr2": 3}, "errors": [refused],
            "links": {"batch": path, "start": f"{path}/start"},
        },
        "ItemResultView": {
            "number": 372, "key": "harbour.jpg", "job_id": _JOB_ID, "content": job["content"], "state": "succeeded",
            "result": job["result"], "error": None, "ended_at": _CREATED,
            "links": {"job": f"/v1/jobs/{_JOB_ID}", "result": f"/v1/jobs/{_JOB_ID}/result"},
        },
    }


def _of_keys() -> dict[str, Any]:
    key = {
        "id": _KEY_ID, "name": "website", "owner": "shop", "role": "client", "max_waiting": 100,
        "max_work_per_day": None, "max_requests_per_min": 600, "max_retention_s": 86_400.0,
        "max_stored_bytes": 10_000_000_000, "created_at": _CREATED, "revoked_at": None,
        "links": {"self": f"/v1/keys/{_KEY_ID}"},
    }
    return {
        "KeyView": key,
        "NewKeyView": {**key, "key": f"atl_{_KEY_ID}_shown-once"},
        "KeyPage": {"keys": [key], "next_cursor": None},
    }


def _of_operations() -> dict[str, Any]:
    path = f"/v1/operations/{_OPERATION_ID}"
    operation = {
        "id": _OPERATION_ID, "action": "retry", "filter": {"state": ["failed"], "code": "storage_full"},
        "reason": "The disk has room again.", "time_limit_s": None, "state": "running",
        "key_id": _KEY_ID, "owner": None, "matched": 812, "more": False, "done": 400, "refused": 3,
        "created_at": _CREATED, "ended_at": None,
        "links": {"self": path, "stop": f"{path}/stop"},
    }
    entry = {
        "id": "01a20770-9c40-7d55-a1b2-3c4d5e6f7081", "at": _CREATED, "key_id": _KEY_ID, "key_name": "night shift",
        "action": "operation.start", "subject": _OPERATION_ID, "count": 812, "reason": "The disk has room again.",
        "details": {"action": "retry", "filter": {"code": "storage_full"}},
    }
    failure = {
        "code": "out_of_memory", "scale": 3, "count": 17, "first_at": _CREATED, "last_at": _CREATED,
        "workers": 1, "worker": "studio-1", "message": "The picture needs more memory than the device has.",
        "examples": [_JOB_ID], "links": {"jobs": "/v1/jobs?state=failed&code=out_of_memory"},
    }
    return {
        "OperationView": operation,
        "OperationPage": {"operations": [operation], "next_cursor": None},
        "MatchedView": {"action": "retry", "matched": 812, "more": False},
        "AuditEntryView": entry,
        "AuditPage": {"entries": [entry], "next_cursor": None},
        "FailureView": failure,
        "FailuresView": {"failures": [failure], "since_s": 604_800.0, "most": 50_000},
    }


def _of_webhooks(job: dict[str, Any]) -> dict[str, Any]:
    path = "/v1/webhooks/deliveries/01a20751-7d0c-7e11-8a6f-5b1d3c2e4f60"
    delivery = {
        "id": path.rpartition("/")[2], "owner": "shop", "url": "https://shop.example/atelier",
        "event": "job.succeeded", "subject_id": _JOB_ID, "state": "delivered", "attempts": 1, "next_at": None,
        "log": [{"at": _CREATED, "status": 204, "error": None, "ms": 83}],
        "created_at": _CREATED, "ended_at": _CREATED, "links": {"self": path, "redeliver": f"{path}/redeliver"},
    }
    shown = ("id", "state", "owner", "label", "metadata", "result", "created_at", "ended_at")
    return {
        "DeliveryView": delivery,
        "DeliveryPage": {"deliveries": [delivery], "next_cursor": None},
        "SecretView": {"secret": "whsec_c2VjcmV0IHRoYXQgaXMgbm9uZQ==", "created_at": _CREATED, "previous_until": None},
        "WebhookView": {
            "type": "job.succeeded", "timestamp": _CREATED, "data": {name: job[name] for name in shown},
        },
    }


def _image() -> Image:
    values = {"width": 4032, "height": 3024, "format": "jpeg", "size_bytes": 3_481_220}
    return Image(id=_CONTENT, created_at=_CREATED_AT, last_used_at=_CREATED_AT, **values)


def _job() -> Job:
    step = {"step": 200, "total": 200, "scale": 3, "scales": 4, "losses": _LOSSES, "step_ms": 302.5, "eta_s": 0.0}
    return Job(
        id=_JOB_ID, owner="shop", state=State.SUCCEEDED, label="harbour", annotations={"order": 1815}, priority=0,
        preset=DEFAULT_PRESET, params=resolve(DEFAULT_PRESET, {"size": 768}).model_dump(mode="json"),
        weights=_WEIGHTS, content_id=_CONTENT, styles=[{"image": _STYLE, "weight": 1.0}],
        depth=16, keep_metadata=False, content_name="harbour.jpg",
        retry_of=_RETRIED_ID, attempt=1, worker="studio-1", retention_s=86_400.0, progress=step,
        result={"width": 768, "height": 576, "bytes": 812_344, "format": "png", "partial": False, "depth": 16},
        created_at=_CREATED_AT,
        started_at=_CREATED_AT + timedelta(seconds=1),
        ended_at=_CREATED_AT + timedelta(seconds=62),
        expires_at=_CREATED_AT + timedelta(days=1),
    )


def _dry_run() -> dict[str, Any]:
    scales = [{"width": width, "height": width * 3 // 4} for width in (128, 256, 512)]
    return {
        "preset": DEFAULT_PRESET, "params": resolve(DEFAULT_PRESET).model_dump(mode="json"), "weights": None,
        "content": _CONTENT, "styles": [{"image": _STYLE, "weight": 1.0, "mask": None}], "init_image": None,
        "estimate": {"seconds": 41.5, "peak_bytes": 1_900_000_000, "tile_size": 0, "scales": scales},
    }
