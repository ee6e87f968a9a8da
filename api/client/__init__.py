"""The Python client: submit a picture, follow it, fetch what came out.

    with Client("http://127.0.0.1:8765", key) as client:
        job = client.submit(Path("photo.jpg"), [Path("painting.jpg")], params={"size": 384})
        client.wait(job.id)
        client.download(job.id, Path("painted.png"))

A refusal raises `ApiProblem` with the server's code; no answer raises `Unreachable`. Before that a request is made
again for a minute, where that is safe: lost connections and servers that start anew are not noticed. Not safe to
share between threads. The calls are in `client_jobs`, `client_batches`, `client_outputs`, `client_webhooks`,
`client_operators`, `client_operations` and `client_keys`.

Invariant: however often a request that makes something is sent, it makes one.
"""

from __future__ import annotations

from api.client.admin import Key, KeyCalls, Operators
from api.client.batches import Added, Batch, BatchCalls, ItemResult
from api.client.bulk_actions import AuditEntry, FailureGroup, Matched, Operation, OperationCalls
from api.client.jobs import Jobs
from api.client.models import (
    ApiProblem,
    Backlog,
    ClientError,
    DryRun,
    Event,
    Image,
    Job,
    Overdue,
    Readiness,
    Unreachable,
    Worker,
)
from api.client.webhooks import Delivery, Webhooks, WebhookSecret
from shared.states import DesiredState

__all__ = [
    "Added",
    "ApiProblem",
    "AuditEntry",
    "Backlog",
    "Batch",
    "Client",
    "ClientError",
    "Delivery",
    "DesiredState",
    "DryRun",
    "Event",
    "FailureGroup",
    "Image",
    "ItemResult",
    "Job",
    "Key",
    "Matched",
    "Operation",
    "Overdue",
    "Readiness",
    "Unreachable",
    "WebhookSecret",
    "Worker",
]


class Client(Jobs, BatchCalls, Webhooks, Operators, OperationCalls, KeyCalls):
    """One server, reached over HTTP."""
