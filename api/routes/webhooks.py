"""Webhooks: the secret that signs them, test events, and the deliveries with all their attempts."""

from functools import partial

from flask import Blueprint, Response, request
from pydantic import Field

from api.access import Access
from api.auth import caller
from api.http import bodies, idempotency
from api.http.pagination import PageQuery, page
from api.http.problems import validated
from api.http.query import parsed_query
from api.http.responses import accepted_response, model_response, page_response
from api.jobs.checks import check_webhook
from api.openapi.operation import operation
from api.schemas.webhooks import DeliveryPage, DeliveryView, SecretView, WebhookTestRequest
from api.serializers.rows import serialize
from api.services import services
from shared import errors
from shared.db import deliveries
from shared.db.admin import audit
from shared.db.deliveries import SigningSecrets
from shared.db.models import Delivery
from shared.states import DeliveryState
from shared.webhooks import signing

blueprint = Blueprint("webhooks", __name__, url_prefix="/v1/webhooks")


class DeliveriesQuery(PageQuery):
    """Which deliveries to list."""

    state: DeliveryState | None = Field(None, description="Only deliveries in this state.")


@blueprint.get("/secret")
@operation(access=Access.WRITE, returns=SecretView)
def secret() -> Response:
    """Show the secret that signs your webhooks.

    It is created if there is none.
    """
    with services().database.writing("webhook_secret") as session:
        return _secret(deliveries.get_secrets(session, caller().owner))


@blueprint.post("/secret/rotate")
@operation(access=Access.WRITE, returns=SecretView)
def rotate() -> Response:
    """Rotate the secret; the previous one remains valid for a day."""
    with services().database.writing("rotate_secret") as session:
        rotated = deliveries.rotate_secret(session, caller().owner)
        audit.record(session, caller(), "webhook_secret.rotate", caller().owner)
    return _secret(rotated)


@blueprint.post("/test")
@operation(
    access=Access.WRITE,
    status=202,
    returns=DeliveryView,
    takes={"application/json": WebhookTestRequest},
    headers=("Idempotency-Key",),
    errors=(errors.InvalidParams, errors.ForbiddenUrl),
)
def test() -> Response:
    """Send a test event, `webhook.test`."""
    body, database = bodies.json_object(request), services().database
    url = validated(WebhookTestRequest, body).url
    once = idempotency.once(request, caller(), body)
    if once.find(database) is None:
        check_webhook(services().settings, url, at="/url")
        with once.writing(database, "test_webhook") as session:
            once.set_response(_view(deliveries.add(session, caller().owner, url, signing.TEST_EVENT)), 202)
    return accepted_response(once)


@blueprint.get("/deliveries")
@operation(access=Access.READ, returns=DeliveryPage, query=DeliveriesQuery)
def listing() -> Response:
    """List deliveries, newest first."""
    query, owner = parsed_query(DeliveriesQuery), caller().sees
    with services().database.reading() as session:
        older = partial(deliveries.list_deliveries, session, owner=owner, state=query.state, before=query.cursor)
        found = page(older, query.limit)
    return page_response(DeliveryPage(deliveries=[_view(each) for each in found.rows], next_cursor=found.next_cursor))


@blueprint.get("/deliveries/<delivery_id>")
@operation(access=Access.READ, returns=DeliveryView)
def show(delivery_id: str) -> Response:
    """Show a delivery with all its attempts."""
    with services().database.reading() as session:
        return model_response(_view(deliveries.get_delivery(session, delivery_id, owner=caller().sees)))


@blueprint.post("/deliveries/<delivery_id>/redeliver")
@operation(access=Access.WRITE, status=202, returns=DeliveryView, headers=("Idempotency-Key",))
def redeliver(delivery_id: str) -> Response:
    """Send the same event again, as another delivery."""
    once = idempotency.once(request, caller(), None)
    if once.find(services().database) is None:
        with once.writing(services().database, "redeliver") as session:
            former = deliveries.get_delivery(session, delivery_id, owner=caller().sees)
            made = deliveries.add(session, former.owner, former.url, former.event, former.subject_id)
            once.set_response(_view(made), 202)
    return accepted_response(once)


def _secret(found: SigningSecrets) -> Response:
    response = model_response(serialize(SecretView, found))
    response.headers["Cache-Control"] = "no-store"
    return response


def _view(delivery: Delivery) -> DeliveryView:
    path = f"/v1/webhooks/deliveries/{delivery.id}"
    return serialize(DeliveryView, delivery, links={"self": path, "redeliver": f"{path}/redeliver"})
