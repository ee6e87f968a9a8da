"""What a job would take, told without queueing it, and the refusal of one that no worker could hold."""

from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import update

from shared.db import sql_clock, workers
from shared.db.models import Worker
from shared.painting import costs
from shared.painting.costs import Capacity
from shared.painting.params import resolve
from tests.integration.api.refusals import refusal
from tests.integration.api.refused_images import stored

LARGE, SMALL = Capacity(memory_bytes=2**34), Capacity(memory_bytes=2**30)
FAST = Capacity(memory_bytes=2**34, gflop_per_s={"float32": 500.0, "bfloat16": 500.0}, precision="float32")


def arrive(database, name: str, capacity: Any) -> None:
    """Let a worker say what it can do."""
    told = capacity.model_dump(mode="json") if isinstance(capacity, Capacity) else capacity
    with database.writing() as session:
        workers.record_heartbeat(session, name, {"weights": {"name": "patch"}, "capacity": told})


def ask(client, image_id: str, *, dry: bool = True, **params: Any) -> Any:
    request = {"content": image_id, "style": image_id, "params": params}
    return client.post(f"/v1/jobs?dry_run={str(dry).lower()}", json=request)


def predicted(capacity: Capacity, **params: Any) -> costs.Estimate:
    return costs.estimate(resolve("balanced", params), (16, 24), [(16, 24)], capacity)


def test_a_dry_run_fills_in_every_default_and_queues_nothing(client, image_id) -> None:
    answer = ask(client, image_id, size=64)
    assert answer.status_code == 200
    assert answer.json["params"] == resolve("balanced", {"size": 64}).model_dump(mode="json")
    assert (answer.json["preset"], answer.json["content"]) == ("balanced", image_id)
    assert client.get("/v1/jobs").json["jobs"] == []


def test_a_multipart_dry_run_keeps_nothing(client, settings, png) -> None:
    body = {"content": (BytesIO(png), "x"), "style": (BytesIO(png), "x"), "mask": (BytesIO(png), "x")}
    assert client.post("/v1/jobs?dry_run=true", data=body).status_code == 200
    assert stored(settings) == []


def test_the_fastest_worker_that_can_hold_the_picture_is_the_measure(client, database, image_id) -> None:
    for name, capacity in (("w1", LARGE), ("w2", FAST), ("w3", SMALL)):
        arrive(database, name, capacity)
    found = ask(client, image_id, size=512).json["estimate"]
    expected = predicted(FAST, size=512)
    assert found["seconds"] == round(expected.seconds, 3)
    assert (found["peak_bytes"], found["tile_size"]) == (expected.peak_bytes, expected.tile_size)
    assert found["scales"] == [{"width": width, "height": height} for height, width in expected.scales]


def test_without_a_worker_that_has_told_its_capacity_nothing_is_predicted(client, database, image_id) -> None:
    assert ask(client, image_id).json["estimate"] is None
    arrive(database, "w1", None)
    arrive(database, "w2", {"memory": "plenty"})
    with database.writing() as session:
        workers.record_heartbeat(session, "w3")
    assert ask(client, image_id).json["estimate"] is None
    assert ask(client, image_id, dry=False, size=16_383).status_code == 202


@pytest.mark.parametrize("dry", [True, False])
def test_a_size_that_no_worker_can_hold_is_refused_with_the_largest_that_one_can(
    client, database, image_id, dry
) -> None:
    arrive(database, "w1", SMALL)
    arrive(database, "w2", Capacity(memory_bytes=2**32))
    answer = ask(client, image_id, dry=dry, size=16_000)
    mistake = refusal(answer, "too_large")
    largest = answer.json["largest"]
    assert (mistake["pointer"], mistake["le"], answer.json["size"]) == ("/params/size", largest, 16_000)
    assert client.get("/v1/jobs").json["jobs"] == []
    assert ask(client, image_id, dry=dry, size=largest).status_code == (200 if dry else 202)
    assert ask(client, image_id, size=largest + 1).status_code == 422


def test_a_worker_that_is_gone_is_no_measure(client, database, image_id) -> None:
    arrive(database, "w1", SMALL)
    with database.writing() as session:
        session.execute(update(Worker).values(seen_at=sql_clock.now_plus(-60)))
    assert ask(client, image_id, size=16_000).json["estimate"] is None


def test_a_dry_run_refuses_what_a_job_would_be_refused_for(client, image_id) -> None:
    assert refusal(ask(client, image_id, size=16))["least"] == 24
    assert refusal(ask(client, image_id, steps=0))["pointer"] == "/params/steps"


def test_a_dry_run_is_asked_for_in_so_many_words(client, image_id) -> None:
    request = {"content": image_id, "style": image_id}
    assert client.post("/v1/jobs?dry_run=maybe", json=request).json["errors"][0]["pointer"] == "dry_run"
    assert client.post("/v1/jobs?dry_run=false", json=request).status_code == 202


def test_both_answers_are_described(client) -> None:
    described = client.get("/openapi.json").json["paths"]["/v1/jobs"]["post"]["responses"]
    models = {status: described[status]["content"]["application/json"]["schema"]["$ref"] for status in ("200", "202")}
    assert [model.rpartition("/")[2] for model in models.values()] == ["DryRunView", "JobView"]
