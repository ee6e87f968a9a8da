"""What clients see of bulk actions, the audit log and grouped failures."""

from typing import Any
from urllib.parse import urlencode

from api.schemas.bulk_actions import AuditEntryView, FailureView, OperationView
from api.serializers.rows import serialize
from shared.clock import rfc3339
from shared.db.admin import bulk_actions
from shared.db.jobs.failures import FailureGroup
from shared.db.jobs.queries import Filter
from shared.db.models import AuditEntry, Operation
from shared.states import OperationState, State

#: Names of filter fields in the API, where they differ.
_PUBLIC_NAMES = {"states": "state", "batch_id": "batch"}


def serialize_operation(found: Operation) -> OperationView:
    """Serialize a bulk action."""
    path = f"/v1/operations/{found.id}"
    return serialize(
        OperationView,
        found,
        filter=serialize_filter(bulk_actions.filter_from_json(found)),
        more=found.matched >= bulk_actions.MOST_COUNTED and found.state != OperationState.DONE,
        done=found.done or 0,
        refused=found.refused or 0,
        links={"self": path, "stop": f"{path}/stop"},
    )


def serialize_audit_entry(entry: AuditEntry) -> AuditEntryView:
    """Serialize an entry of the audit log."""
    return serialize(AuditEntryView, entry)


def serialize_failure(group: FailureGroup) -> FailureView:
    """Serialize a group of failures, with a link to all jobs that failed with its code."""
    query = urlencode({"state": State.FAILED, "code": group.code})
    return serialize(FailureView, group, links={"jobs": f"/v1/jobs?{query}"})


def serialize_filter(db_filter: Filter) -> dict[str, Any]:
    """Serialize the fields of a filter that are given, as the API accepts them."""
    fields = {
        **db_filter._asdict(),
        "states": list(db_filter.states) or None,
        "created_after": rfc3339(db_filter.created_after),
        "created_before": rfc3339(db_filter.created_before),
    }
    return {_PUBLIC_NAMES.get(name, name): value for name, value in fields.items() if value is not None}
