"""Keys: made, listed and revoked by operators."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session

from api import auth
from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency, pagination
from api.http.idempotency import Answer
from api.http.problems import validated
from api.http.responses import json_answer
from api.openapi.operation import operation
from api.openapi.parameters import PAGING
from api.schemas.admin import KeyPage, KeyRequest, KeyView, NewKeyView
from api.serializers.admin import serialize_key, serialize_new_key
from api.services import services
from api.usecases import keys as usecases_keys
from shared import errors
from shared.db.access import keys
from shared.db.models import ApiKey

blueprint = Blueprint("keys", __name__, url_prefix="/v1/keys")


@blueprint.post("")
@operation(
    "Make a key, which is shown in full this once: a repetition gets its id alone",
    access=Access.OPERATE,
    status=201,
    returns=NewKeyView,
    takes={"application/json": KeyRequest},
    headers=("Idempotency-Key",),
    errors=(errors.InvalidParams, errors.IdempotencyConflict, errors.AlreadyMade),
)
def create() -> Response:
    """Make a key."""
    body = bodies.json_object(request)
    asked = validated(KeyRequest, body)
    who = caller()
    once = idempotency.named(request, who, body)
    made: list[NewKeyView] = []

    def act(note: Callable[[Session, ApiKey], None]) -> None:
        made.append(serialize_new_key(*usecases_keys.new_key(services().database, who, asked, note=note)))

    answer, replayed = idempotency.make(services(), once, act, _answer_to)
    if replayed:
        raise _already_made(answer)
    response = json_answer(made[-1], 201)
    response.headers["Location"] = answer.location
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("")
@operation(
    "List the keys, oldest first, revoked ones too",
    access=Access.OPERATE,
    returns=KeyPage,
    query=PAGING,
    errors=(errors.InvalidParams,),
)
def listing() -> Response:
    """List keys."""
    limit = pagination.limit(request.args.get("limit"))
    after = pagination.decode_text(request.args.get("cursor"))
    with services().database.reading() as session:
        found = keys.list_keys(session, after=_place(after), limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(f"{page[-1].created_at.isoformat()} {page[-1].id}") if len(found) > limit else None
    response = json_answer(KeyPage(keys=[serialize_key(key) for key in page], next_cursor=cursor))
    if cursor:
        response.headers["Link"] = f'<{url_for("keys.listing", limit=limit, cursor=cursor)}>; rel="next"'
    return response


@blueprint.get("/<key_id>")
@operation("Show a key", access=Access.OPERATE, returns=KeyView, errors=(errors.NotFound,))
def show(key_id: str) -> Response:
    """Show a key."""
    with services().database.reading() as session:
        return json_answer(serialize_key(keys.get_key(session, key_id)))


@blueprint.delete("/<key_id>")
@operation(
    "Revoke a key, for good; the last operator's key stays",
    access=Access.OPERATE,
    status=204,
    returns={},
    errors=(errors.NotFound, errors.IllegalTransition),
)
def revoke(key_id: str) -> Response:
    """Revoke a key."""
    usecases_keys.revoke_key(services(), caller(), key_id)
    auth.door().clear()
    return Response(status=204)


def _answer_to(key: ApiKey) -> Answer:
    """Say what is kept of the answer: nothing that opens."""
    view = serialize_key(key)
    return Answer(201, view.links["self"], view.model_dump_json())


def _already_made(answer: Answer) -> errors.AlreadyMade:
    key_id = answer.location.rpartition("/")[2]
    detail = f"Key {key_id} was made by this request before, and shown in full that once. If that answer was lost, "
    return errors.AlreadyMade(f"{detail}revoke the key and make another.", key_id=key_id)


def _place(text: str | None) -> tuple[datetime, str] | None:
    if text is None:
        return None
    moment, _, key_id = text.partition(" ")
    try:
        return datetime.fromisoformat(moment), key_id
    except ValueError:
        raise pagination.not_ours() from None
