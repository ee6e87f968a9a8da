"""Answers in the form that the whole API gives them, and what requests wish of them: to wait, or to be spared.

`ETag` is a hash of what a view is made of, so that a client that polls is sent a body, and has one made, only when
something is new.
"""

from __future__ import annotations

from flask import Response, request, url_for
from pydantic import BaseModel

from api.http.idempotency import REPLAYED_HEADER, Answer


def json_answer(view: BaseModel, status: int = 200) -> Response:
    """Answer with a resource."""
    return json_response(view.model_dump_json(), status)


def tagged(view: BaseModel) -> Response:
    """Answer with a resource, or with 304 if the client has it as it is."""
    response = json_answer(view)
    response.add_etag()
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def json_response(body: str, status: int) -> Response:
    """Answer with JSON that is written already."""
    return Response(body, status=status, content_type="application/json")


def paged(view: BaseModel, cursor: str | None) -> Response:
    """Answer with a page of this request's list, and name the page that follows at `cursor`, if one does."""
    response = json_answer(view)
    if cursor and request.endpoint:
        arguments = {**request.args.to_dict(flat=False), **(request.view_args or {}), "cursor": [cursor]}
        response.headers["Link"] = f'<{url_for(request.endpoint, **arguments)}>; rel="next"'
    return response


def accepted(answer: Answer, *, replayed: bool) -> Response:
    """Answer a request that makes something, for the first time or again."""
    response = json_response(answer.body, answer.status)
    response.headers["Location"] = answer.location
    response.headers["Retry-After"] = "1"
    if replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response
