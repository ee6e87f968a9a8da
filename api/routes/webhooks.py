"""Webhooks: the secret that signs them, a call to try one out, and how each delivery went."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session

from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency, pagination
from api.http.idempotency import Answer
from api.http.problems import validated
from api.http.responses import accepted, json_answer
from api.openapi.operation import operation
from api.openapi.parameters import PAGING, given
from api.schemas.webhooks import AttemptView, DeliveryPage, DeliveryView, SecretView, WebhookTestRequest
from api.services import services
from api.usecases import webhooks
from shared import errors
from shared.clock import rfc3339
from shared.db import deliveries
from shared.db.admin import audit
from shared.db.deliveries import SigningSecrets
from shared.db.models import Delivery
from shared.states import DeliveryState

blueprint = Blueprint("webhooks", __name__, url_prefix="/v1/webhooks")


@blueprint.get("/secret")
@operation("Show the secret that signs your webhooks", access=Access.WRITE, returns=SecretView)
def secret() -> Response:
    """Show the secret, made now if there is none."""
    with services().database.writing("webhook_secret") as session:
        return _secret(deliveries.get_secrets(session, caller().owner))


@blueprint.post("/secret/rotate")
@operation("Sign with a new secret; the one before signs along for a day", access=Access.WRITE, returns=SecretView)
def rotate() -> Response:
    """Make a new secret."""
    with services().database.writing("rotate_secret") as session:
        rotated = deliveries.rotate_secret(session, caller().owner)
        audit.record(session, caller(), "webhook_secret.rotate", caller().owner)
    return _secret(rotated)


@blueprint.post("/test")
@operation(
    "Send an event `webhook.test`",
    access=Access.WRITE,
    status=202,
    returns=DeliveryView,
    takes={"application/json": WebhookTestRequest},
    headers=("Idempotency-Key",),
    errors=(errors.InvalidParams, errors.ForbiddenUrl, errors.IdempotencyConflict),
)
def test() -> Response:
    """Try an address out."""
    body = bodies.json_object(request)
    asked = validated(WebhookTestRequest, body)
    return _accepted(body, lambda note: webhooks.test_webhook(services(), caller(), asked.url, note=note))


@blueprint.get("/deliveries")
@operation(
    "List deliveries, newest first",
    access=Access.READ,
    returns=DeliveryPage,
    query={
        "state": given("Only those in this state.", type="string", enum=list(DeliveryState)),
        **PAGING,
    },
    errors=(errors.InvalidParams,),
)
def listing() -> Response:
    """List deliveries."""
    limit, before = pagination.limit(request.args.get("limit")), pagination.decode(request.args.get("cursor"))
    with services().database.reading() as session:
        found = deliveries.list_deliveries(session, owner=caller().sees, state=_state(), before=before, limit=limit + 1)
    page = found[:limit]
    cursor = pagination.encode(page[-1].id) if len(found) > limit else None
    response = json_answer(DeliveryPage(deliveries=[_view(each) for each in page], next_cursor=cursor))
    if cursor:
        arguments = {**request.args.to_dict(flat=False), "cursor": [cursor]}
        response.headers["Link"] = f'<{url_for("webhooks.listing", **arguments)}>; rel="next"'  # type: ignore[arg-type]
    return response


@blueprint.get("/deliveries/<delivery_id>")
@operation("Show a delivery with all its attempts", access=Access.READ, returns=DeliveryView, errors=(errors.NotFound,))
def show(delivery_id: str) -> Response:
    """Show a delivery."""
    with services().database.reading() as session:
        return json_answer(_view(deliveries.get_delivery(session, delivery_id, owner=caller().sees)))


@blueprint.post("/deliveries/<delivery_id>/redeliver")
@operation(
    "Tell the same event again, as another delivery",
    access=Access.WRITE,
    status=202,
    returns=DeliveryView,
    headers=("Idempotency-Key",),
    errors=(errors.NotFound, errors.IdempotencyConflict),
)
def redeliver(delivery_id: str) -> Response:
    """Deliver again."""
    return _accepted(None, lambda note: webhooks.redeliver(services(), caller(), delivery_id, note=note))


def _state() -> DeliveryState | None:
    name = request.args.get("state")
    try:
        return None if name is None else DeliveryState(name)
    except ValueError:
        mistake = {"pointer": "state", "detail": f"one of {', '.join(DeliveryState)}"}
        raise errors.InvalidParams(f"state is one of {', '.join(DeliveryState)}.", errors=[mistake]) from None


def _secret(found: SigningSecrets) -> Response:
    times = {"created_at": str(rfc3339(found.created_at)), "previous_until": rfc3339(found.previous_until)}
    response = json_answer(SecretView(secret=found.secret, **times))
    response.headers["Cache-Control"] = "no-store"
    return response


def _accepted(asked: object, add: Callable[[Callable[[Session, Delivery], None]], None]) -> Response:
    """Add a delivery by `add`, or answer as before if the same was asked for under the same key."""
    once = idempotency.named(request, caller(), asked)
    answer, replayed = idempotency.make(services(), once, add, _answer_to)
    return accepted(answer, replayed=replayed)


def _answer_to(delivery: Delivery) -> Answer:
    view = _view(delivery)
    return Answer(202, view.links["self"], view.model_dump_json())


def _view(delivery: Delivery) -> DeliveryView:
    path = f"/v1/webhooks/deliveries/{delivery.id}"
    return DeliveryView(
        id=delivery.id,
        owner=delivery.owner,
        url=delivery.url,
        event=delivery.event,
        subject_id=delivery.subject_id,
        state=DeliveryState(delivery.state),
        attempts=delivery.attempts,
        next_at=rfc3339(delivery.next_at),
        log=[AttemptView(**attempt) for attempt in delivery.log],
        created_at=str(rfc3339(delivery.created_at)),
        ended_at=rfc3339(delivery.ended_at),
        links={"self": path, "redeliver": f"{path}/redeliver"},
    )
