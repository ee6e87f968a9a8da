"""API keys: created, listed and revoked by operators."""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from api import auth
from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency, pagination
from api.http.pagination import CURSOR, LIMIT, page
from api.http.problems import validated
from api.http.query import Count, parsed_query
from api.http.responses import model_response, page_response
from api.openapi.operation import operation
from api.schemas.admin import KeyPage, KeyRequest, KeyView, NewKeyView
from api.serializers.admin import serialize_key, serialize_new_key
from api.services import services
from api.usecases.keys import new_key, revoke_key
from shared import errors
from shared.db.access import keys
from shared.db.models import ApiKey

blueprint = Blueprint("keys", __name__, url_prefix="/v1/keys")


def _position(key: ApiKey) -> str:
    return f"{key.created_at.isoformat()} {key.id}"


def _read_position(cursor: str) -> tuple[datetime, str] | None:
    text = pagination.decode_text(cursor)
    if text is None:
        return None
    written_at, _, key_id = text.partition(" ")
    with suppress(ValueError):
        created_at = datetime.fromisoformat(written_at)
        if created_at.utcoffset() == timedelta(0) and key_id.isalnum():
            return created_at, key_id
    raise pagination.invalid_cursor()


_Cursor = Annotated[tuple[datetime, str] | None, BeforeValidator(_read_position), WithJsonSchema({"type": "string"})]


class KeysQuery(BaseModel):
    """Which page of keys; they are listed by when they were created, since their ids are random."""

    limit: Count = LIMIT
    cursor: _Cursor = CURSOR


@blueprint.post("")
@operation(
    access=Access.OPERATE,
    status=201,
    returns=NewKeyView,
    takes={"application/json": KeyRequest},
    headers=("Idempotency-Key",),
    errors=(errors.InvalidParams, errors.AlreadyMade),
)
def create() -> Response:
    """Create a key, which is shown in full only this once: a repeated request gets its id alone."""
    body = bodies.json_object(request)
    key_request = validated(KeyRequest, body)
    once = idempotency.once(request, caller(), body)
    if once.find(services().database) is None:
        with once.writing(services().database, "create_key") as session:
            key, token = new_key(session, caller(), key_request)
            once.set_response(serialize_key(key), 201)  # stored without the secret
    if once.replayed:
        raise _already_made(once.created_id())
    response = model_response(serialize_new_key(key, token), 201)
    response.headers["Location"] = f"/v1/keys/{key.id}"
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("")
@operation(access=Access.OPERATE, returns=KeyPage, query=KeysQuery)
def listing() -> Response:
    """List the keys, oldest first, revoked ones too."""
    query = parsed_query(KeysQuery)
    with services().database.reading() as session:
        found = page(partial(keys.list_keys, session, after=query.cursor), query.limit, position=_position)
    return page_response(KeyPage(keys=[serialize_key(key) for key in found.rows], next_cursor=found.next_cursor))


@blueprint.get("/<key_id>")
@operation(access=Access.OPERATE, returns=KeyView)
def show(key_id: str) -> Response:
    """Show a key."""
    with services().database.reading() as session:
        return model_response(serialize_key(keys.get_key(session, key_id)))


@blueprint.delete("/<key_id>")
@operation(access=Access.OPERATE, status=204, returns={}, errors=(errors.IllegalTransition,))
def revoke(key_id: str) -> Response:
    """Revoke a key permanently; the last operator key cannot be revoked."""
    revoke_key(services().database, caller(), key_id)
    auth.caller_cache().clear()
    return Response(status=204)


def _already_made(key_id: str) -> errors.AlreadyMade:
    detail = f"This request has already created key {key_id}, which was shown in full only then. "
    return errors.AlreadyMade(f"{detail}If you did not receive it, revoke the key and create another.", key_id=key_id)
