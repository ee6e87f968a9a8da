"""What the tests of the watchdog share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.worker.process.watchdog_rig import Rig


@pytest.fixture
def rig(settings, database) -> Iterator[Rig]:
    """An overseer and the child that it watches."""
    with Rig(settings, database) as made:
        yield made
