"""The page Failures: the last ones, grouped by code and place."""

from __future__ import annotations

from flask import render_template

from api.access import Access
from api.dashboard.pages import blueprint, page
from api.serializers.bulk_actions import failure_view
from api.services import services
from shared.db.jobs import failures


@blueprint.get("/dashboard/failures")
@page(access=Access.OVERSEE)
def list_failures() -> str:
    """Show the groups, that which was met last first."""
    with services().database.reading() as session:
        groups = [failure_view(group) for group in failures.list_groups(session)]
    return render_template("failures.html", groups=groups, since_s=failures.SINCE_S)
