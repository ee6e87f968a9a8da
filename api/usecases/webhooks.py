"""Webhooks: checking an address, a test event, telling an event again."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from api.access import Caller
from api.http.problems import mistake
from api.services import Services
from shared.db import deliveries
from shared.db.models import Delivery
from shared.errors import ForbiddenUrl
from shared.webhooks import signing, ssrf_guard


def check_webhook(services: Services, url: str, *, at: str = "/webhook") -> None:
    """Raise `ForbiddenUrl` for an address that nothing is ever sent to; others are judged when they are called."""
    try:
        ssrf_guard.check_url(url, ssrf_guard.networks(services.settings.webhook_networks))
    except ForbiddenUrl as error:
        raise mistake(at, error.detail, ForbiddenUrl) from None


def test_webhook(services: Services, caller: Caller, url: str, *, note: Callable[[Session, Delivery], None]) -> None:
    """Send an event that says nothing; raise `ForbiddenUrl`. `note` is called in the transaction."""
    check_webhook(services, url, at="/url")
    with services.database.writing("test_webhook") as session:
        note(session, deliveries.add(session, caller.owner, url, signing.TEST_EVENT))


def redeliver(
    services: Services, caller: Caller, delivery_id: str, *, note: Callable[[Session, Delivery], None]
) -> None:
    """Tell an event again, to the address it was told to; raise `NotFound`. `note` is called in the transaction."""
    with services.database.writing("redeliver") as session:
        former = deliveries.get_delivery(session, delivery_id, owner=caller.sees)
        note(session, deliveries.add(session, former.owner, former.url, former.event, former.subject_id))
