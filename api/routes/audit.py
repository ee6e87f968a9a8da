"""The audit log: who did what, when, to what, how often and why."""

from __future__ import annotations

from flask import Blueprint, Response, request

from api.access import Access
from api.http import pagination
from api.http.query import moment
from api.http.responses import paged
from api.openapi.operation import operation
from api.openapi.parameters import PAGING, given
from api.schemas.bulk_actions import AuditPage
from api.serializers.bulk_actions import serialize_audit_entry
from api.services import services
from shared import errors
from shared.db.admin import audit
from shared.db.admin.audit import Filter

blueprint = Blueprint("audit", __name__, url_prefix="/v1/audit")


@blueprint.get("")
@operation(
    "List what was done, newest first",
    access=Access.OVERSEE,
    returns=AuditPage,
    query={
        "key_id": given("Only what was done with this key.", type="string"),
        "action": given("Only this action, such as `job.cancel`.", type="string"),
        "after": given("Only what was done from this RFC 3339 time on.", type="string", format="date-time"),
        "before": given("Only what was done before this RFC 3339 time.", type="string", format="date-time"),
        **PAGING,
    },
    errors=(errors.InvalidParams,),
)
def listing() -> Response:
    """List entries."""
    limit = pagination.limit(request.args.get("limit"))
    last = pagination.decode(request.args.get("cursor"))
    wanted = Filter(request.args.get("key_id"), request.args.get("action"), moment("after"), moment("before"))
    with services().database.reading() as session:
        found = audit.list_entries(session, wanted, before=last, limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(page[-1].id) if len(found) > limit else None
    return paged(AuditPage(entries=[serialize_audit_entry(entry) for entry in page], next_cursor=cursor), cursor)
