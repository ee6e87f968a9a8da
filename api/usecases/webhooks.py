"""Webhook deliveries that callers ask for: a test event, and an event again."""

from __future__ import annotations

from sqlalchemy.orm import Session

from api.access import Caller
from shared.db import deliveries
from shared.db.models import Delivery
from shared.webhooks import signing


def send_test(session: Session, caller: Caller, url: str) -> Delivery:
    """Send a `webhook.test` event to an address that `checks.check_webhook` allows."""
    return deliveries.add(session, caller.owner, url, signing.TEST_EVENT)


def redeliver(session: Session, caller: Caller, delivery_id: str) -> Delivery:
    """Send an event again to the same address, as another delivery; raise `NotFound`."""
    former = deliveries.get_delivery(session, delivery_id, owner=caller.sees)
    return deliveries.add(session, former.owner, former.url, former.event, former.subject_id)
