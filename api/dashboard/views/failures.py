"""The page Failures: recent failures, grouped by error code and scale."""

from flask import render_template

from api.access import Access
from api.dashboard.pages import blueprint, page
from api.serializers.bulk_actions import serialize_failure
from api.services import services
from shared.db.jobs import failures


@blueprint.get("/dashboard/failures")
@page(access=Access.OVERSEE)
def list_failures() -> str:
    """List the groups, the most recent first."""
    with services().database.reading() as session:
        groups = [serialize_failure(group) for group in failures.list_groups(session)]
    return render_template("failures.html", groups=groups, since_s=failures.SINCE_S)
