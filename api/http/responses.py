"""Responses in the form that the whole API gives them.

An `ETag` is a hash of what a response shows, so that a client that polls is sent a body only when it has changed.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from flask import Response, request, url_for
from pydantic import BaseModel
from werkzeug.http import quote_etag

from api.http.idempotency import REPLAYED_HEADER, Once
from api.live.snapshot import JobSnapshot
from shared.errors import TooManyStreams
from shared.shares import Shares
from shared.states import TERMINAL


class PageView(Protocol):
    """A model that shows one page of a listing."""

    next_cursor: str | None

    def model_dump_json(self) -> str:
        """Return the page as JSON."""


def model_response(view: BaseModel | PageView, status: int = 200) -> Response:
    """Respond with a resource."""
    return json_response(view.model_dump_json(), status)


def json_response(body: str | bytes, status: int = 200) -> Response:
    """Respond with JSON text."""
    return Response(body, status=status, content_type="application/json")


def etag_response(view: BaseModel) -> Response:
    """Respond with a resource, or with 304 if the client already has it."""
    response = model_response(view)
    response.add_etag()
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def tagged_response(etag: str, media_type: str, read: Callable[[], bytes]) -> Response:
    """Respond with what `read` makes; or with 304 if the client already has it, without making it."""
    response = Response(status=304) if etag in request.if_none_match else Response(read(), content_type=media_type)
    response.headers["ETag"] = quote_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def page_response(view: PageView) -> Response:
    """Respond with a page of this request's listing, and link to the page that follows, if one does."""
    response = model_response(view)
    if view.next_cursor and request.endpoint:
        arguments = {**request.args.to_dict(flat=False), **(request.view_args or {}), "cursor": [view.next_cursor]}
        response.headers["Link"] = f'<{url_for(request.endpoint, **arguments)}>; rel="next"'
    return response


def stream_response(permits: Shares, owner: str, chunks: Iterable[str] | Iterable[bytes], media_type: str) -> Response:
    """Respond with chunks that are made while they are sent; raise `TooManyStreams` if `owner` may open no more."""
    if not permits.take(owner):
        open_now = permits.held_by(owner)
        raise TooManyStreams(f"{open_now} streams and long polls of {owner} are open; close some.", used=open_now)
    # the second asks nginx to pass on what comes as it comes
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = Response(chunks, content_type=media_type, headers=headers)
    response.call_on_close(partial(permits.give_back, owner))
    return response


def accepted_response(once: Once) -> Response:
    """Respond with what a request created, now or the first time that it was sent."""
    assert once.response is not None
    response = json_response(once.response.body, once.response.status)
    response.headers["Location"] = once.response.location
    response.headers["Retry-After"] = "1"
    if once.replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return response


def job_response(snapshot: JobSnapshot, status: int = 200) -> Response:
    """Respond with a job, or with 304 if the client already has it."""
    has_ended = snapshot.job.state in TERMINAL
    if request.method == "GET" and request.if_none_match.contains_weak(snapshot.etag):
        response = Response(status=304)
    else:
        response = json_response(snapshot.body, status)
        response.headers["Location"] = f"/v1/jobs/{snapshot.job.id}"
    response.headers["ETag"] = quote_etag(snapshot.etag, weak=not has_ended)  # until the end a forecast counts down
    response.headers["Cache-Control"] = "private, no-cache"
    if not has_ended:
        response.headers["Retry-After"] = str(snapshot.retry_after_s())
    return response
