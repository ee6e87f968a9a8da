"""The page Audit log: who did what, when, to how many, and why."""

from __future__ import annotations

from flask import render_template, request

from api.access import Access
from api.dashboard.pages import blueprint, page
from api.http import pagination
from api.serializers.bulk_actions import serialize_audit_entry
from api.services import services
from shared.db.admin import audit

_ON_A_PAGE = 50
#: Where what an action was done to has a page, by the first word of the action.
_PAGES = {"job": "jobs", "batch": "batches", "operation": "operations"}


@blueprint.get("/dashboard/audit")
@page(access=Access.OVERSEE)
def audit_log() -> str:
    """Show what was done, the newest first."""
    given = {name: request.args.get(name, "").strip() for name in ("key", "action")}
    wanted = audit.Filter(key_id=given["key"] or None, action=given["action"] or None)
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = audit.list_entries(session, wanted, before=before, limit=_ON_A_PAGE + 1)
    entries = [serialize_audit_entry(entry) for entry in found[:_ON_A_PAGE]]
    cursor = pagination.encode(entries[-1].id) if len(found) > _ON_A_PAGE else None
    pages = {each.id: _PAGES.get(each.action.partition(".")[0]) for each in entries}
    return render_template("audit.html", entries=entries, pages=pages, given=given, cursor=cursor)
