"""A browser that an operator has signed in with."""

import pytest

from tests.integration.api.dashboard.signing_in import signed_in


@pytest.fixture
def browser(app, key):
    return signed_in(app, key)
