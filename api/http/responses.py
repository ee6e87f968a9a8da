"""Answers in the form that the whole API gives them, and what requests wish of them: to wait, or to be spared.

`ETag` is a hash of what a view is made of, so that a client that polls is sent a body, and has one made, only when
something is new.
"""

from __future__ import annotations

from flask import Response, request, url_for
from pydantic import BaseModel
from werkzeug.http import quote_etag

from api.http.idempotency import REPLAYED_HEADER, Answer
from api.jobs.current import Sight
from shared.states import TERMINAL


def json_answer(view: BaseModel, status: int = 200) -> Response:
    """Answer with a resource."""
    return _json(view.model_dump_json(), status)


def tagged(view: BaseModel) -> Response:
    """Answer with a resource, or with 304 if the client has it as it is."""
    response = json_answer(view)
    response.add_etag()
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def _json(body: str, status: int) -> Response:
    return Response(body, status=status, content_type="application/json")


def paged(view: BaseModel, cursor: str | None) -> Response:
    """Answer with a page of this request's list, and name the page that follows at `cursor`, if one does."""
    response = json_answer(view)
    if cursor and request.endpoint:
        arguments = {**request.args.to_dict(flat=False), **(request.view_args or {}), "cursor": [cursor]}
        response.headers["Link"] = f'<{url_for(request.endpoint, **arguments)}>; rel="next"'
    return response


def shown(sight: Sight, status: int = 200) -> Response:
    """Answer with a job, or with 304 if the client has it as it is."""
    etag, has_ended = sight.tag, sight.job.state in TERMINAL
    if request.method == "GET" and request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        response = _json(sight.body, status)
        response.headers["Location"] = f"/v1/jobs/{sight.job.id}"
    response.headers["ETag"] = quote_etag(etag, weak=not has_ended)  # until then a forecast counts down
    response.headers["Cache-Control"] = "private, no-cache"
    if not has_ended:
        response.headers["Retry-After"] = str(sight.retry_after_s())
    return response


def accepted(answer: Answer, *, replayed: bool) -> Response:
    """Answer a request that makes something, for the first time or again."""
    response = _json(answer.body, answer.status)
    response.headers["Location"] = answer.location
    response.headers["Retry-After"] = "1"
    if replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response
