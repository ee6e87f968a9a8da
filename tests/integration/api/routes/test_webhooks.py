"""Webhooks over HTTP, as their owner sees them."""

import pytest

from api.app import create_app
from tests.support.factories import add_key
from tests.support.flask_clients import client_with

URL = "https://example.org/hook"


def test_the_secret_is_the_owners_and_is_rotated(app, client, database) -> None:
    first = client.get("/v1/webhooks/secret").json
    assert first["secret"].startswith("whsec_")
    assert client.get("/v1/webhooks/secret").json == first
    rotated = client.post("/v1/webhooks/secret/rotate").json
    assert rotated["secret"] != first["secret"]
    assert rotated["previous_until"] > rotated["created_at"] > first["created_at"]
    stranger = client_with(app, add_key(database, "client", "ann"))
    assert stranger.get("/v1/webhooks/secret").json["secret"] not in (first["secret"], rotated["secret"])


def test_a_test_call_is_a_delivery(client) -> None:
    answer = client.post("/v1/webhooks/test", json={"url": URL})
    assert (answer.status_code, answer.json["event"], answer.json["state"]) == (202, "webhook.test", "pending")
    assert client.get(answer.headers["Location"]).json == answer.json
    again = client.post(answer.json["links"]["redeliver"])
    assert (again.status_code, again.json["url"], again.json["id"] != answer.json["id"]) == (202, URL, True)


def test_deliveries_are_listed_page_by_page_and_by_state(client) -> None:
    made = [client.post("/v1/webhooks/test", json={"url": URL}).json["id"] for _ in range(3)]
    first = client.get("/v1/webhooks/deliveries?limit=2&state=pending")
    assert [each["id"] for each in first.json["deliveries"]] == made[:0:-1]
    assert 'rel="next"' in first.headers["Link"]
    second = client.get(f"/v1/webhooks/deliveries?limit=2&cursor={first.json['next_cursor']}")
    assert [each["id"] for each in second.json["deliveries"]] == made[:1]
    assert client.get("/v1/webhooks/deliveries?state=failed").json["deliveries"] == []
    assert client.get("/v1/webhooks/deliveries?state=odd").json["code"] == "invalid_params"


def test_a_strangers_deliveries_are_unknown(app, client, database) -> None:
    made = client.post("/v1/webhooks/test", json={"url": URL}).json
    stranger = client_with(app, add_key(database, "client", "ann"))
    assert stranger.get(made["links"]["self"]).status_code == 404
    assert stranger.post(made["links"]["redeliver"]).status_code == 404
    assert stranger.get("/v1/webhooks/deliveries").json["deliveries"] == []


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost/", "ftp://example.org/", "nonsense"])
def test_an_address_that_is_never_called_is_refused_at_once(client, image_id, url) -> None:
    body = {"content": image_id, "style": image_id, "webhook": url}
    for answer, pointer in (
        (client.post("/v1/jobs", json=body), "/webhook"),
        (client.post("/v1/jobs?dry_run=true", json=body), "/webhook"),
        (client.post("/v1/webhooks/test", json={"url": url}), "/url"),
    ):
        assert (answer.status_code, answer.json["code"]) == (422, "forbidden_url")
        assert answer.json["errors"][0]["pointer"] == pointer


def test_a_job_keeps_its_webhook_and_its_end_is_listed(client, image_id) -> None:
    job = client.post("/v1/jobs", json={"content": image_id, "style": image_id, "webhook": URL}).json
    assert job["webhook"] == URL
    client.post(job["links"]["cancel"])
    [delivery] = client.get("/v1/webhooks/deliveries").json["deliveries"]
    assert (delivery["event"], delivery["subject_id"]) == ("job.canceled", job["id"])


def test_an_operator_may_let_webhooks_reach_a_network_of_his(settings, database, key) -> None:
    client = client_with(create_app(settings.model_copy(update={"webhook_networks": "10.0.0.0/8"})), key)
    assert client.post("/v1/webhooks/test", json={"url": "http://10.1.2.3/"}).status_code == 202
    assert client.post("/v1/webhooks/test", json={"url": "http://192.168.1.1/"}).status_code == 422
