"""What the parts of the server are given: a clock that tests advance."""

import pytest

from tests.support.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()
