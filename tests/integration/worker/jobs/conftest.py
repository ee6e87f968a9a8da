"""A worker without an engine."""

from __future__ import annotations

import pytest

from shared.messaging.progress import RedisProgress
from tests.support.fakes import FakePainter
from worker.jobs.context import WorkerContext


@pytest.fixture
def context(settings, database, store, redis) -> WorkerContext:
    return WorkerContext("w1", settings, database, store, RedisProgress(redis), FakePainter())
