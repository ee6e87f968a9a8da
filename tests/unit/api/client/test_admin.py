"""The client's calls about API keys, against a real server that answers from a script."""

import json

import pytest

from tests.support.scripted_server import as_json
from tests.unit.api.client.scripted_client import talking

KEY = {"id": "k", "name": "ann", "owner": "ann", "role": "client", "key": "secret"}


def test_the_limits_of_a_key_are_sent_and_those_left_out_are_not() -> None:
    with talking(as_json(KEY, 201)) as (server, client):
        assert client.create_key("ann", max_waiting=3, max_retention_s=60.0).key == "secret"
    sent = json.loads(server.asked[0].body)
    assert sent == {"name": "ann", "role": "client", "max_waiting": 3, "max_retention_s": 60.0}


def test_a_limit_that_does_not_exist_is_found_before_anything_is_sent() -> None:
    with talking(as_json(KEY, 201)) as (server, client):
        with pytest.raises(TypeError, match="max_wating"):
            client.create_key("ann", max_wating=3)
        assert server.asked == []
