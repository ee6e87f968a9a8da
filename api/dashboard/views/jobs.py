"""The page Jobs: search results, newest first."""

from functools import partial
from operator import attrgetter

from flask import redirect, render_template, request
from werkzeug.wrappers import Response

from api.access import Access
from api.auth import caller
from api.dashboard import search_query
from api.dashboard.pages import blueprint, page
from api.http import pagination
from api.serializers.jobs import serialize_job
from api.services import services
from shared.db.jobs import queries
from shared.errors import InvalidParams
from shared.states import State

_PER_PAGE, _MAX_COUNTED = 50, 10_000


@blueprint.get("/dashboard/jobs")
@page(access=Access.READ)
def jobs() -> Response | str:
    """List the jobs that match a search; a job's id leads to its page."""
    text = request.args.get("q", "").strip()
    context = {"q": text, "states": State}
    try:
        search = search_query.parse(text)
        before = pagination.decode(request.args.get("cursor"))
    except InvalidParams as error:
        return render_template("jobs.html", **context, wrong=error.detail)
    if search.job_id is not None:
        return redirect(f"/dashboard/jobs/{search.job_id}", 303)
    job_filter = search.filter
    if caller().sees is not None:
        job_filter = job_filter._replace(owner=caller().sees)
    with services().database.reading() as session:
        older = partial(queries.list_jobs, session, job_filter, before=before)
        found = pagination.page(older, _PER_PAGE, position=attrgetter("sort_id"))
        count = queries.count_jobs(session, job_filter, most=_MAX_COUNTED)
    shown = [serialize_job(job) for job in found.rows]
    more = count >= _MAX_COUNTED
    return render_template("jobs.html", **context, jobs=shown, count=count, more=more, cursor=found.next_cursor)
