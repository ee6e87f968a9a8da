"""Keys: made, listed and revoked by operators."""

from __future__ import annotations

from datetime import datetime

from flask import Blueprint, Response, request, url_for

from api import auth, pagination, uploads, usecases
from api.access import Access
from api.answers import json_answer
from api.openapi import PAGING, operation
from api.problems import validated
from api.schemas_keys import KeyPage, KeyRequest, KeyView, NewKeyView
from api.services import services
from api.views_keys import key_view, new_key_view
from shared import errors
from shared.db import keys

blueprint = Blueprint("keys", __name__, url_prefix="/v1/keys")


@blueprint.post("")
@operation(
    "Make a key, which is shown in full this once",
    access=Access.OPERATE,
    status=201,
    returns=NewKeyView,
    takes={"application/json": KeyRequest},
    errors=(errors.InvalidRequest, errors.UnsupportedMediaType, errors.InvalidParams),
)
def create() -> Response:
    """Make a key."""
    key, token = usecases.new_key(services().database, validated(KeyRequest, uploads.json_object(request)))
    response = json_answer(new_key_view(key, token), 201)
    response.headers["Location"] = f"/v1/keys/{key.id}"
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
        found = keys.known(session, after=_place(after), limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(f"{page[-1].created_at.isoformat()} {page[-1].id}") if len(found) > limit else None
    response = json_answer(KeyPage(keys=[key_view(key) for key in page], next_cursor=cursor))
    if cursor:
        response.headers["Link"] = f'<{url_for("keys.listing", limit=limit, cursor=cursor)}>; rel="next"'
    return response


@blueprint.get("/<key_id>")
@operation("Show a key", access=Access.OPERATE, returns=KeyView, errors=(errors.NotFound,))
def show(key_id: str) -> Response:
    """Show a key."""
    with services().database.reading() as session:
        return json_answer(key_view(keys.key(session, key_id)))


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
    usecases.revoke_key(services(), key_id)
    auth.forget_keys()
    return Response(status=204)


def _place(text: str | None) -> tuple[datetime, str] | None:
    if text is None:
        return None
    moment, _, key_id = text.partition(" ")
    try:
        return datetime.fromisoformat(moment), key_id
    except ValueError:
        raise pagination.not_ours() from None
