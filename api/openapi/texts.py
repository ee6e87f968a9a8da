"""What the description says in words: of the whole, of each group of operations, of who may do what."""

from __future__ import annotations

from api.access import Access
from shared.states import Role

SUMMARY = "Neural style transfer as a service."
DESCRIPTION = """\
Upload a photograph and a painting, submit a job, follow it, fetch the picture.

JSON in and out, in snake_case. Times are RFC 3339 in UTC; jobs are named by UUIDs, images by the hash of their bytes.
Unknown fields of a request are refused, and NUL in any text; new fields of answers may come at any time.

Every refusal is `application/problem+json` (RFC 9457) with a stable `code`; those that may pass by themselves bring
`Retry-After`. Every answer has an `X-Request-ID`, which is the client's own if it sends one."""
INFO = {"title": "Atelier", "version": "1", "summary": SUMMARY, "description": DESCRIPTION}

KEYS = "`atelier keys create` makes the first key; operators make others by `POST /v1/keys`."

TAGS = [
    {"name": name, "description": text}
    for name, text in {
        "images": "Photographs, paintings and masks: uploaded once, named by the hash of their bytes.",
        "jobs": "Paintings to be made: submitted, listed, canceled, tried again, deleted.",
        "outputs": "What a job gives while it runs and once it has ended.",
        "batches": "Many paintings that share style and params, steered as one.",
        "items": "What is in a batch: pictures added, and what became of them.",
        "webhooks": "Where the ends of jobs are told, and how that went.",
        "keys": "Who may use the service, and how much.",
        "operators": "The workers and the queue.",
        "operations": "Actions on all jobs that a filter finds.",
        "failures": "What failed lately, in groups.",
        "audit": "Who did what.",
        "system": "Probes of the service itself.",
        "metrics": "Numbers for monitoring.",
    }.items()
]


def access(needed: Access) -> str:
    """Say which keys may use an operation."""
    if needed is Access.PUBLIC:
        return "Needs no key."
    roles = " or ".join(str(role) for role in Role if role in needed.value)
    limit = "; a client's reaches only what is its own" if Role.CLIENT in needed.value else ""
    return f"Needs a key of the role {roles}{limit}."
