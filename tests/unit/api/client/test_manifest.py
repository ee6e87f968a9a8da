"""What a manifest asks for when its picture is painted again, and what explains another one."""

import json
from typing import Any

import pytest

from api.client.manifest import Manifest
from api.client.models import ClientError
from shared.painting.params import resolve


def manifest(**changes: Any) -> Manifest:
    told = {
        "atelier": "1.0",
        "preset": "fast",
        "params": resolve("fast").model_dump(mode="json"),
        "content": "sha256:01",
        "styles": [{"image": "sha256:02", "weight": 2.0, "mask": "sha256:03"}, {"image": "sha256:01", "weight": 1.0}],
        "init": "sha256:04",
        "weights": {"name": "patch", "sha256": "f00d" * 16},
        "device": {"kind": "cpu", "versions": {"keras": "3.1"}},
        "group": 1,
        "engine": {"precision": "bfloat16", "tile_size": 256, "lbfgs_history": 4, "batch": 1},
        "result": {"sha256": "ab" * 32, "partial": False},
    }
    return Manifest.read(json.dumps(told | changes).encode())


def test_all_that_decided_the_picture_is_asked_for_again() -> None:
    options = manifest().options
    assert (options["masks"], options["init_image"]) == (["sha256:03", None], "sha256:04")
    assert (options["preset"], options["weights"]) == ("fast", "patch")


def test_what_the_machine_chose_is_demanded() -> None:
    chosen = {"precision": "bfloat16", "tile_size": 256, "lbfgs_history": 4}
    assert manifest().options["params"] == resolve("fast").model_dump(mode="json") | chosen


def test_what_the_machine_had_no_choice_in_stays_as_it_was_asked_for() -> None:
    params = resolve("classic", {"tile_size": 512}).model_dump(mode="json")
    unused = {"precision": "float32", "tile_size": 0, "lbfgs_history": 0}
    assert manifest(preset="classic", params=params, engine=unused).options["params"] == params
    assert manifest(preset="classic", params=params, engine={}).options["params"] == params


def test_a_preset_that_is_no_more_gives_way_to_the_params_in_full() -> None:
    assert manifest(preset="cubist").options["preset"] == "classic"


@pytest.mark.parametrize("name", ["file", "null"])
def test_weights_that_cannot_be_asked_for_by_name_are_left_to_the_worker(name: str) -> None:
    assert manifest(weights={"name": name, "sha256": ""}).options["weights"] is None


def test_each_picture_is_needed_once() -> None:
    assert manifest().images == ["sha256:01", "sha256:02", "sha256:03", "sha256:04"]


def test_equal_courses_have_no_difference() -> None:
    same = manifest(
        result={"sha256": "cd" * 32},
        weights={"name": "patch", "sha256": "f00d" * 16, "reason": "No `imagenet`: its publisher does not answer."},
    )
    assert list(manifest().differences(same)) == []


def test_differences_are_told_one_by_one() -> None:
    other = manifest(
        weights={"name": "imagenet", "sha256": "f00d" * 16},
        device={"kind": "cpu", "versions": {"keras": "3.2"}},
        engine={"precision": "float32", "tile_size": 256, "lbfgs_history": 4, "batch": 9},
        result={"sha256": "cd" * 32, "partial": True},
    )
    assert list(manifest().differences(other)) == [
        "one of the two was not painted to its end",
        "weights.name: patch, then imagenet",
        "device.versions.keras: 3.1, then 3.2",
        "precision: bfloat16, then float32",
    ]


@pytest.mark.parametrize(("text", "said"), [(b"<html>", "JSON"), (b"[]", "object"), (b"{}", "preset: Field required")])
def test_what_is_no_manifest_is_said(text: bytes, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        Manifest.read(text)
