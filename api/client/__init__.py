"""The Python client: submit a picture, follow the job, download the result.

    with Client("http://127.0.0.1:8765", key) as client:
        job = client.submit(Path("photo.jpg"), [Path("painting.jpg")], params={"size": 384})
        client.wait(job.id)
        client.download(job.id, Path("painted.png"))

A refusal raises `ApiProblem` with the server's code; a server that does not answer raises `Unreachable`. Before that,
requests that are safe to repeat are retried for a minute, which covers lost connections and restarts of the server. A
client must not be shared between threads. The folder is a distribution of its own, `atelier-client`, and is installed
under another name, `atelier_client`: its modules import each other relatively, and nothing else of this project.

Invariant: a request that creates something creates it once, however often it is sent.
"""

from .admin import AdminCalls, Key
from .batches import Added, Batch, BatchCalls, ItemResult
from .bulk_actions import AuditEntry, FailureGroup, Matched, Operation, OperationCalls
from .jobs import JobCalls
from .models import (
    ApiProblem,
    Backlog,
    ClientError,
    DryRun,
    Event,
    EventsToken,
    Image,
    Job,
    Readiness,
    Unreachable,
    UnwritableOutput,
    WaitTimeout,
    Worker,
)
from .names import DesiredState
from .webhooks import Delivery, WebhookCalls, WebhookSecret

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
    "EventsToken",
    "FailureGroup",
    "Image",
    "ItemResult",
    "Job",
    "Key",
    "Matched",
    "Operation",
    "Readiness",
    "Unreachable",
    "UnwritableOutput",
    "WaitTimeout",
    "WebhookSecret",
    "Worker",
]


class Client(JobCalls, BatchCalls, WebhookCalls, OperationCalls, AdminCalls):
    """One server, reached over HTTP."""
