"""What the tests of the watchdog share."""

from collections.abc import Iterator

import pytest

from tests.integration.worker.process.watchdog_rig import Rig


@pytest.fixture
def rig(settings, database) -> Iterator[Rig]:
    """A watchdog and the child that it watches."""
    with Rig(settings, database) as made:
        yield made
