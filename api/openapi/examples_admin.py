"""Examples of bulk actions, the audit log and failures, like those of `api.openapi.examples`."""

from __future__ import annotations

from typing import Any

_ID, _KEY_ID = "01a20770-9c3e-7b21-8f4d-1e2d3c4b5a69", "k7f3a9c2d1e0b"
_JOB_ID = "01a20750-e506-729a-9bdf-2a44836107f2"
_AT = "2026-01-31T12:00:00.000Z"


def examples() -> dict[str, Any]:
    """Return an example for each model."""
    path = f"/v1/operations/{_ID}"
    operation = {
        "id": _ID,
        "action": "retry",
        "filter": {"state": ["failed"], "code": "storage_full"},
        "reason": "The disk has room again.",
        "state": "running",
        "key_id": _KEY_ID,
        "owner": None,
        "matched": 812,
        "more": False,
        "done": 400,
        "refused": 3,
        "created_at": _AT,
        "ended_at": None,
        "links": {"self": path, "stop": f"{path}/stop"},
    }
    entry = {
        "id": "01a20770-9c40-7d55-a1b2-3c4d5e6f7081",
        "at": _AT,
        "key_id": _KEY_ID,
        "key_name": "night shift",
        "action": "operation.start",
        "subject": _ID,
        "count": 812,
        "reason": "The disk has room again.",
        "details": {"action": "retry", "filter": {"code": "storage_full"}},
    }
    failure = {
        "code": "out_of_memory",
        "scale": 3,
        "count": 17,
        "first_at": _AT,
        "last_at": _AT,
        "workers": 1,
        "worker": "studio-1",
        "message": "The picture needs more memory than the device has.",
        "examples": [_JOB_ID],
        "links": {"jobs": "/v1/jobs?state=failed&code=out_of_memory"},
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
