"""Dispatching to a broker that only collects what it is sent."""

import pytest

from shared.messaging.dispatch import Dispatcher
from tests.support.fakes import Outbox


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def dispatch(database, settings, outbox):
    return Dispatcher(database, outbox, settings).run
