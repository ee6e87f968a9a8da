"""The prose of the document: the introduction, the groups of operations and the access they need."""

from api.access import Access
from shared.states import Role

SUMMARY = "Neural style transfer as a service."
DESCRIPTION = """\
Upload a photograph and a painting, submit a job, follow it, and fetch the picture.

Requests and responses are JSON in snake_case. Times are RFC 3339 in UTC. Job IDs are UUIDs; an image's ID is a hash of
its bytes. Requests with unknown fields, or with control characters in a text, are rejected; only values of `metadata`
may have tabs and line breaks. Responses may gain fields at any time.

A body may be sent with `Content-Encoding: gzip`; what bounds it bounds its content.

Every error is `application/problem+json` (RFC 9457) with a stable `code`; temporary ones have `Retry-After`. Every
response has an `X-Request-ID`, which is the client's own if it sent one."""
LICENSE = {"name": "MIT", "identifier": "MIT"}
INFO = {"title": "Atelier", "version": "1", "summary": SUMMARY, "description": DESCRIPTION, "license": LICENSE}

KEYS = "Create the first key with `atelier keys create`; operators create others with `POST /v1/keys`."

TOKENS = "For `EventSource`, which sends no headers: a token of `POST /v1/jobs/{job_id}/events-token`."

TAGS = [
    {"name": name, "description": text}
    for name, text in {
        "images": "Photographs, paintings and masks, each uploaded once and identified by a hash of its bytes.",
        "jobs": "Submit, list, cancel, retry and delete paintings.",
        "outputs": "What a job produces while it runs and once it has ended.",
        "batches": "Many paintings that share a style and parameters, controlled together.",
        "items": "The pictures of a batch, and their results.",
        "webhooks": "Notifications of jobs and batches that have ended, and their deliveries.",
        "keys": "API keys, their roles and their quotas.",
        "operators": "The workers and the queue.",
        "operations": "Bulk actions on all jobs that match a filter.",
        "failures": "Recent failures, grouped by error.",
        "audit": "The audit log: who did what.",
        "system": "Health probes.",
        "metrics": "Metrics for monitoring.",
    }.items()
]


def access(needed: Access) -> str:
    """Describe the keys that may use an operation."""
    if needed is Access.PUBLIC:
        return "No key needed."
    roles = " or ".join(str(role) for role in Role if role in needed.value)
    limit = "; a client reaches only its own" if Role.CLIENT in needed.value else ""
    return f"Needs a key with the role {roles}{limit}."
