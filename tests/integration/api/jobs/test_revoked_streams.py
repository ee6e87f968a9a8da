"""A stream ends with the key or the session that opened it, at its next beat."""

import threading

import pytest

from api.batches import results_feed
from api.jobs import event_stream
from shared.db.models import ApiKey
from tests.integration.api.dashboard.signing_in import OURS, signed_in, token_of
from tests.support.factories import add_batch, add_key
from tests.support.flask_clients import client_with


@pytest.fixture(autouse=True)
def _quick_beats(monkeypatch) -> None:
    monkeypatch.setattr(event_stream, "_HEARTBEAT_S", 0.05)
    monkeypatch.setattr(results_feed, "_KEEPALIVE_S", 0.0)


def ends_after(response, end) -> bool:
    """Read the beginning of a stream, call `end`, and say whether the stream ends; it is closed in any case."""
    chunks = iter(response.response)
    next(chunks)
    end()
    rest = threading.Thread(target=list, args=(chunks,), daemon=True)
    rest.start()
    rest.join(20)
    return not rest.is_alive()


@pytest.mark.parametrize("kind", ["events", "results"])
def test_a_revoked_key_ends_its_streams(app, client, database, job_id, kind) -> None:
    token = add_key(database, "viewer", "eve")
    path = f"/v1/jobs/{job_id}/events" if kind == "events" else f"/v1/batches/{add_batch(database)}/results.jsonl"
    response = client_with(app, token).get(f"{path}?follow=true", buffered=False)
    with database.reading() as session:
        revoked = session.query(ApiKey).filter_by(owner="eve").one().id
    assert ends_after(response, lambda: client.delete(f"/v1/keys/{revoked}"))


def test_signing_out_ends_the_streams_of_its_pages(app, key, job_id) -> None:
    browser = signed_in(app, key)
    csrf = token_of(browser.get("/dashboard/jobs"))
    response = browser.get(f"/dashboard/jobs/{job_id}/events", buffered=False)
    assert ends_after(response, lambda: browser.post("/logout", data={"csrf": csrf}, headers=OURS))


def test_a_revoked_key_ends_what_its_tokens_have_opened(app, client, database, job_id) -> None:
    by_key = client_with(app, add_key(database, "viewer", "eve"))
    token = by_key.post(f"/v1/jobs/{job_id}/events-token").json["token"]
    response = app.test_client().get(f"/v1/jobs/{job_id}/events?token={token}", buffered=False)
    with database.reading() as session:
        revoked = session.query(ApiKey).filter_by(owner="eve").one().id
    assert ends_after(response, lambda: client.delete(f"/v1/keys/{revoked}"))
