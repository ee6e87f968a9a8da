"""Batches over HTTP: opened, filled in many ways, steered, listed."""

import io
import json

import pytest
from PIL import Image

from api.app import create_app
from api.batches import results_feed
from shared.db import workers
from shared.errors import DatabaseUnavailable, Diverged
from shared.imaging import codec
from tests.integration.api.batch_requests import LINES, add, lines, paint, show, steer
from tests.support.claims import claim_job
from tests.support.factories import add_key, picture
from tests.support.flask_clients import client_with


def test_an_item_behind_as_many_as_may_run_at_once_waits_for_that(client, database, batch, image_id) -> None:
    client.patch(f"/v1/batches/{batch['id']}", json={"max_parallel": 1})
    add(client, batch, *({"key": key, "content": image_id} for key in ("first", "second")))
    steer(client, batch, "start")
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")
    first, second = (item["id"] for item in client.get(f"/v1/batches/{batch['id']}/items").json["jobs"])

    def waiting_for() -> str:
        return client.get(f"/v1/jobs/{second}").json["queue"]["waiting_for"]

    assert waiting_for() == "turn"
    with database.writing() as session:
        claim_job(session, first, worker="w1", weights={}, lease_s=20)
    assert waiting_for() == "quota"
    client.patch(f"/v1/batches/{batch['id']}", json={"max_parallel": 2})
    assert waiting_for() == "turn"


def test_a_batch_that_is_polled_is_sent_when_it_is_another(client, batch, image_id) -> None:
    path, first = f"/v1/batches/{batch['id']}", client.get(f"/v1/batches/{batch['id']}")
    assert client.get(path, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    add(client, batch, {"key": "a", "content": image_id})
    later = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (later.status_code, later.json["counts"]["total"]) == (200, 1)


def test_a_batch_is_opened_once_for_one_idempotency_key(client, image_id) -> None:
    headers = {"Idempotency-Key": "once"}
    first = client.post("/v1/batches", json={"style": image_id}, headers=headers)
    again = client.post("/v1/batches", json={"style": image_id}, headers=headers)
    assert (first.status_code, first.json["state"], first.json["counts"]["total"]) == (201, "open", 0)
    assert (again.json["id"], again.headers["Idempotency-Replayed"]) == (first.json["id"], "true")
    assert first.headers["Location"] == first.json["links"]["self"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_params"),
        ({"style": f"sha256:{'0' * 64}"}, "unknown_image"),
        ({"style": "IMAGE", "params": {"size": -1}}, "invalid_params"),
        ({"style": "IMAGE", "max_parallel": 0}, "invalid_params"),
        ({"style": "IMAGE", "webhook": "http://127.0.0.1/"}, "forbidden_url"),
        ({"style": "IMAGE", "retention_s": 1e12}, "invalid_params"),
        ({"style": "IMAGE", "unheard": 1}, "invalid_params"),
    ],
)
def test_what_no_batch_can_have_is_refused(client, image_id, body, code) -> None:
    body = {name: image_id if value == "IMAGE" else value for name, value in body.items()}
    answer = client.post("/v1/batches", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, code)


def test_good_items_are_kept_and_bad_ones_told_with_line_and_key(client, batch, image_id) -> None:
    added = add(
        client,
        batch,
        {"key": "a.jpg", "content": image_id},
        {"key": "../b.jpg", "content": image_id},
        {"key": "c.jpg", "content": f"sha256:{'0' * 64}"},
        {"key": "d.jpg", "content": image_id, "params": {"size": 0.5}},
        {"key": "e.jpg"},
        {"key": "a.jpg", "content": image_id},
        {"key": "a.jpg", "content": image_id, "params": {"size": 48}},
        "no item",
        {"key": "f/g.jpg", "content": image_id, "params": {"size": 48}},
    )
    told = [(error["line"], error["key"], error["code"]) for error in added["errors"]]
    assert (added["added"], added["existing"], added["rejected"]) == (2, 1, 6)
    assert sorted(told, key=lambda each: each[0]) == [
        (2, "../b.jpg", "unsafe_path"),
        (3, "c.jpg", "unknown_image"),
        (4, "d.jpg", "invalid_params"),
        (5, "e.jpg", "invalid_params"),
        (7, "a.jpg", "duplicate_key"),
        (8, None, "invalid_params"),
    ]
    assert show(client, batch)["counts"]["queued"] == 2
    assert add(client, batch, {"key": "a.jpg", "content": image_id})["existing"] == 1


def test_a_line_that_is_no_json_or_too_long_spoils_only_itself(client, batch, image_id) -> None:
    good = lines({"key": "a", "content": image_id})
    body = b"{\n" + b"\n" + b'"' + b"x" * 2**21 + b'"\n' + good + b'{"key": "nul\\u0000", "content": "x"}\n'
    answer = client.post(f"/v1/batches/{batch['id']}/items", data=body, content_type=LINES).json
    assert [(error["line"], error["code"]) for error in answer["errors"]] == [
        (1, "invalid_request"),
        (3, "body_too_large"),
        (5, "unsafe_path"),
    ]
    assert answer["added"] == 1


def test_a_list_and_files_bring_items_too(client, batch, image_id, png) -> None:
    path = f"/v1/batches/{batch['id']}/items"
    assert client.post(path, json=[{"key": "a", "content": image_id}]).json["added"] == 1
    assert client.post(path, json={"key": "a"}).json["code"] == "invalid_params"
    assert client.post(path, json="a").json["code"] == "invalid_request"
    other = codec.encode(picture(seed=1), format="png")
    files = [(io.BytesIO(data), name) for name, data in (("b.png", png), ("c/d.png", other), ("e", b"none"))]
    answer = client.post(path, data={"file": files}).json
    assert (answer["added"], [(error["key"], error["code"]) for error in answer["errors"]]) == (
        2,
        [("e", "unsupported_image")],
    )
    assert client.post(path, data=b"", content_type="text/plain").status_code == 415


def test_a_batch_has_its_bound(settings, key, batch, image_id) -> None:
    narrow = client_with(create_app(settings.model_copy(update={"max_batch_items": 2})), key)
    added = add(narrow, batch, *({"key": str(number), "content": image_id} for number in range(3)))
    assert (added["added"], [error["code"] for error in added["errors"]]) == (2, ["batch_full"])


def test_it_is_started_paused_resumed_and_canceled(client, batch, image_id) -> None:
    assert steer(client, batch, "pause")[0] == 409
    assert steer(client, batch, "resume")[0] == 409
    for way, state in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("cancel", "canceled")):
        assert steer(client, batch, way)[1]["state"] == state
        assert steer(client, batch, way)[1]["state"] == state, "twice is once"
    status, refused = steer(client, batch, "start")
    assert (status, refused["code"], refused["state"]) == (409, "illegal_transition", "canceled")
    answer = client.post(f"/v1/batches/{batch['id']}/items", json=[{"key": "a", "content": image_id}])
    assert (answer.status_code, answer.json["code"], answer.json["added"]) == (409, "illegal_transition", 0)


def test_what_failed_is_tried_again(client, batch, image_id, database) -> None:
    add(client, batch, *({"key": key, "content": image_id} for key in "ab"))
    steer(client, batch, "start")
    first, second = client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]
    paint(database, first["id"], error=Diverged("nan"))
    paint(database, second["id"])
    assert show(client, batch)["state"] == "finished"
    answer = client.post(f"/v1/batches/{batch['id']}/retry-failed").json
    assert (answer["retried"], answer["batch"]["state"]) == (1, "running")
    [again] = client.get(f"/v1/batches/{batch['id']}/items?state=queued").json["jobs"]
    assert (again["key"], again["retry_of"], again["batch_id"]) == ("a", first["id"], batch["id"])


def test_items_are_paged_in_the_order_of_adding_and_found_by_key(client, batch, image_id) -> None:
    add(client, batch, *({"key": f"k{number}", "content": image_id} for number in range(5)))
    path, seen = f"/v1/batches/{batch['id']}/items?limit=2", []
    while path:
        answer = client.get(path)
        seen += [job["key"] for job in answer.json["jobs"]]
        path = answer.headers["Link"].partition(">")[0][1:] if "Link" in answer.headers else ""
    assert seen == [f"k{number}" for number in range(5)]
    [found] = client.get(f"/v1/batches/{batch['id']}/items?key=k3").json["jobs"]
    assert found["key"] == "k3"
    assert client.get(f"/v1/batches/{batch['id']}/items?key=none").status_code == 404


def test_the_feed_goes_on_where_a_reader_stopped(client, batch, image_id, database) -> None:
    add(client, batch, *({"key": key, "content": image_id} for key in "abc"))
    steer(client, batch, "start")
    made = {job["key"]: job["id"] for job in client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]}
    feed = f"/v1/batches/{batch['id']}/results.jsonl"

    def read(after: int) -> list[tuple[int, str]]:
        text = client.get(f"{feed}?after={after}").text
        return [(line["number"], line["key"]) for line in map(json.loads, text.splitlines())]

    paint(database, made["b"])
    assert read(0) == [(1, "b")]
    paint(database, made["c"])
    paint(database, made["a"])
    assert read(1) == [(2, "c"), (3, "a")]
    assert len(client.get(f"{feed}?follow=true").text.split()) == 3, "it ends with the batch"
    assert client.get(f"{feed}?after=-1").status_code == 422


def test_a_feed_that_is_followed_answers_at_once_and_outlives_the_database(
    app, client, batch, image_id, database, monkeypatch
) -> None:
    add(client, batch, {"key": "a", "content": image_id})
    steer(client, batch, "start")
    [item] = client.get(f"/v1/batches/{batch['id']}/items").json["jobs"]
    monkeypatch.setattr(results_feed, "_KEEPALIVE_S", 0.0)
    monkeypatch.setattr(results_feed, "_POLL_S", 0.01)
    used = app.extensions["atelier"].database

    def away() -> None:
        raise DatabaseUnavailable

    with client.get(f"/v1/batches/{batch['id']}/results.jsonl?follow=true", buffered=False) as answer:
        feed = iter(answer.response)
        assert next(feed) == b"\n"
        with monkeypatch.context() as broken:
            broken.setattr(used, "reading", away)
            assert [next(feed) for _ in range(3)] == [b"\n"] * 3
        paint(database, item["id"])
        assert [json.loads(line)["key"] for line in b"".join(feed).split(b"\n") if line] == ["a"]


def test_a_feed_that_ends_without_its_database_does_not_end_in_good_order(settings, database, key, monkeypatch) -> None:
    app = create_app(settings.model_copy(update={"stream_life_s": 0.01}))
    client = client_with(app, key)
    png = codec.encode(picture(), format="png")
    image_id = client.post("/v1/images", data=png, content_type="image/png").json["id"]
    batch_id = client.post("/v1/batches", json={"style": image_id}).json["id"]

    def away() -> None:
        raise DatabaseUnavailable

    with client.get(f"/v1/batches/{batch_id}/results.jsonl?follow=true", buffered=False) as answer:
        monkeypatch.setattr(app.extensions["atelier"].database, "reading", away)
        with pytest.raises(DatabaseUnavailable):
            list(answer.response)


def test_changes_hold_while_it_runs(client, batch) -> None:
    changed = client.patch(f"/v1/batches/{batch['id']}", json={"max_parallel": 3}).json
    assert (changed["max_parallel"], changed["priority"]) == (3, 0)
    changed = client.patch(f"/v1/batches/{batch['id']}", json={"max_parallel": None, "priority": 5}).json
    assert (changed["max_parallel"], changed["priority"]) == (None, 5)
    assert client.patch(f"/v1/batches/{batch['id']}", json={"priority": None}).status_code == 422


def test_another_owners_batch_is_not_there(app, database, client, batch) -> None:
    stranger = client_with(app, add_key(database, "client", "eve"))
    assert stranger.get(f"/v1/batches/{batch['id']}").status_code == 404
    assert stranger.post(f"/v1/batches/{batch['id']}/items", json=[]).status_code == 404
    assert stranger.post(f"/v1/batches/{batch['id']}/cancel").status_code == 404
    assert stranger.get("/v1/batches").json["batches"] == []


def test_a_matrix_makes_its_cells_and_one_is_painted_for_good(client, image_id) -> None:
    other = client.post("/v1/images", data=codec.encode(picture(seed=2), format="png"), content_type="image/png").json
    matrix = {"contents": [image_id], "styles": [image_id, other["id"]], "params": {"style_weight": [1, 5]}}
    made = client.post("/v1/batches", json={"matrix": matrix, "params": {"size": 64}})
    assert (made.status_code, made.json["state"], made.json["counts"]["total"]) == (201, "running", 4)
    cells = client.get(f"/v1/batches/{made.json['id']}/items").json["jobs"]
    assert [job["key"] for job in cells] == ["c1-s1-p1", "c1-s1-p2", "c1-s2-p1", "c1-s2-p2"]
    assert cells[3]["params"]["style_weight"] == 5
    chosen = client.post(f"/v1/batches/{made.json['id']}/promote", json={"key": "c1-s2-p2", "size": 128})
    assert (chosen.status_code, chosen.json["batch_id"], chosen.json["params"]["size"]) == (202, None, 128)
    assert chosen.json["styles"][0]["image"] == other["id"]


def test_too_many_cells_are_refused_before_anything_is_made(client, image_id) -> None:
    matrix = {"contents": [image_id] * 1000, "styles": [image_id], "params": {"style_weight": list(range(1, 12))}}
    answer = client.post("/v1/batches", json={"matrix": matrix})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_params")
    assert client.get("/v1/batches").json["batches"] == []


def test_a_matrix_has_a_sheet_at_any_time_and_no_other_batch_has(client, batch, image_id, png) -> None:
    matrix = {"contents": [image_id] * 2, "styles": [image_id], "params": {"style_weight": [1, 5, 9]}}
    made = client.post("/v1/batches", json={"matrix": matrix, "params": {"size": 64}}).json
    sheet = client.get(f"/v1/batches/{made['id']}/sheet.webp")
    assert (sheet.status_code, sheet.headers["Content-Type"]) == (200, "image/webp")
    with Image.open(io.BytesIO(sheet.data)) as drawn:
        assert drawn.width > drawn.height
    assert client.get(f"/v1/batches/{batch['id']}/sheet.webp").json["code"] == "no_result"
