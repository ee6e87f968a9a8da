"""An API that others can reach has a key to it, or does not start."""

import pytest

from api.wsgi import ensure_guarded
from shared.errors import Misconfigured
from tests.support.factories import add_key


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_alone_may_be_served_without_keys(settings, database, host) -> None:
    ensure_guarded(settings.model_copy(update={"host": host}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org", "127.example.org"])
def test_anybody_else_is_served_only_once_somebody_has_a_key(settings, database, host) -> None:
    reachable = settings.model_copy(update={"host": host})
    add_key(database, "client")
    with pytest.raises(Misconfigured, match="atelier keys create"):
        ensure_guarded(reachable)
    add_key(database)
    ensure_guarded(reachable)
