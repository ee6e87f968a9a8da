"""The stack on an address of IPv6, which stands in brackets wherever it is part of a URL."""

import socket

import httpx
import pytest

from api.cli.options import local_address
from api.client import Client
from api.local import doctor
from api.local.home import address
from api.local.stack import Stack
from shared.settings import Settings

pytestmark = pytest.mark.slow


def _loopback_port() -> int:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
            return int(listener.getsockname()[1])
    except OSError:
        pytest.skip("This machine has no IPv6.")


def test_the_stack_is_reached_at_an_address_in_brackets(tmp_path) -> None:
    port = _loopback_port()
    settings = Settings.load(home=tmp_path / "home", host="::1", port=port, engine="null")
    assert local_address(settings) == f"http://[::1]:{port}"
    assert doctor._port(settings).ok
    with Stack(settings, workers=0) as stack:
        assert stack.url == address(settings.home) == f"http://[::1]:{port}"
        with Client(stack.url, stack.key) as client:
            assert list(client.jobs()) == []
        answer = httpx.post(
            f"{stack.url}/login", data={"key": stack.key}, headers={"Origin": stack.url}, trust_env=False
        )
        assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
        assert not doctor._port(settings).ok
