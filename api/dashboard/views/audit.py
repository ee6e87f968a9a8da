"""The page Audit log: who did what, to which and how many jobs, when and why."""

from functools import partial

from flask import render_template, request

from api.access import Access
from api.dashboard.pages import blueprint, page
from api.http import pagination
from api.serializers.bulk_actions import serialize_audit_entry
from api.services import services
from shared.db.admin import audit

_PER_PAGE = 50
#: The pages of subjects, by the first word of the action.
_SUBJECT_PAGES = {"job": "jobs", "batch": "batches", "operation": "operations"}


@blueprint.get("/dashboard/audit")
@page(access=Access.OVERSEE)
def audit_log() -> str:
    """List entries, newest first."""
    given = {name: request.args.get(name, "").strip() for name in ("key", "action")}
    entry_filter = audit.Filter(key_id=given["key"] or None, action=given["action"] or None)
    before = pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = pagination.page(partial(audit.list_entries, session, entry_filter, before=before), _PER_PAGE)
    entries = [serialize_audit_entry(entry) for entry in found.rows]
    pages = {each.id: _SUBJECT_PAGES.get(each.action.partition(".")[0]) for each in entries}
    return render_template("audit.html", entries=entries, pages=pages, given=given, cursor=found.next_cursor)
