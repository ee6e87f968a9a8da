"""The audit log: who did what to what, when, how often and why."""

from functools import partial

from flask import Blueprint, Response
from pydantic import Field

from api.access import Access
from api.http.pagination import PageQuery, page
from api.http.query import parsed_query
from api.http.responses import page_response
from api.openapi.operation import operation
from api.schemas.bulk_actions import AuditPage
from api.schemas.jobs import Timestamp
from api.serializers.bulk_actions import serialize_audit_entry
from api.services import services
from shared.db.admin import audit

blueprint = Blueprint("audit", __name__, url_prefix="/v1/audit")


class AuditQuery(PageQuery):
    """Which entries to list."""

    key_id: str | None = Field(None, description="Only actions by this key.")
    action: str | None = Field(None, description="Only this kind of action, such as `job.cancel`.")
    after: Timestamp | None = Field(None, description="Only actions at or after this RFC 3339 time.")
    before: Timestamp | None = Field(None, description="Only actions before this RFC 3339 time.")


@blueprint.get("")
@operation(access=Access.OVERSEE, returns=AuditPage, query=AuditQuery)
def listing() -> Response:
    """List recorded actions, newest first."""
    query = parsed_query(AuditQuery)
    wanted = audit.Filter(key_id=query.key_id, action=query.action, after=query.after, before=query.before)
    with services().database.reading() as session:
        found = page(partial(audit.list_entries, session, wanted, before=query.cursor), query.limit)
    entries = [serialize_audit_entry(entry) for entry in found.rows]
    return page_response(AuditPage(entries=entries, next_cursor=found.next_cursor))
