"""Answers in the form that the whole API gives them, and what requests wish of them: to wait, or to be spared.

`ETag` is a hash of what a view is made of, so that a client that polls is sent a body, and has one made, only when
something is new.
"""

from __future__ import annotations

import math
import re

from flask import Response, request, url_for
from pydantic import BaseModel
from werkzeug.http import quote_etag

from api.idempotency import REPLAYED_HEADER, Answer
from api.sights import Sight
from shared.errors import InvalidParams
from shared.states import TERMINAL

#: Longest wait that a request may ask for, in seconds.
MAX_WAIT_S = 60.0
_PREFERRED_WAIT = re.compile(r"\bwait\s*=\s*\"?(\d{1,6})\b", re.IGNORECASE)


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


def wait_s() -> float:
    """Read how long a request wishes to wait, in seconds: by `?wait=` or by `Prefer: wait=`; 0 if it does not.

    Raises `InvalidParams` for a wait that is no number of seconds up to `MAX_WAIT_S`.
    """
    text = request.args.get("wait")
    if text is None:
        return preferred_wait_s()
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_WAIT_S:
        mistake = {"pointer": "wait", "detail": "a number of seconds", "ge": 0, "le": MAX_WAIT_S}
        raise InvalidParams(f"wait is a number of seconds from 0 to {MAX_WAIT_S:g}.", errors=[mistake])
    return seconds


def preferred_wait_s() -> float:
    """Read `Prefer: wait=`, in seconds, which is cut to what is allowed, as preferences are; 0 without it."""
    found = _PREFERRED_WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found[1]), MAX_WAIT_S) if found else 0.0


def flag(name: str) -> bool:
    """Read a query parameter that is true or false; raise `InvalidParams` for anything else."""
    value = request.args.get(name, "false")
    if value not in ("true", "false"):
        mistake = {"pointer": name, "detail": "one of true, false"}
        raise InvalidParams(f"{name} is true or false.", errors=[mistake])
    return value == "true"
