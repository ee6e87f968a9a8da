"""The chores that keep the queue moving; each may run at any time, any number at once."""

from __future__ import annotations

from shared.broker import Broker
from shared.db.base import Database
from shared.dispatch import dispatch
from shared.settings import Settings


def dispatch_due(database: Database, broker: Broker) -> int:
    """Send the next jobs to the workers; return how many."""
    settings = Settings.load()
    return dispatch(
        database,
        broker.send_paint,
        window=settings.dispatch_window,
        redispatch_after_s=settings.redispatch_after_s,
    )
