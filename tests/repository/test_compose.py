"""docker-compose.yml without a Docker engine: its form by a schema, its sense by what the parts need of each other.

The schema in `data/` was written for this project from the rules of the Compose Specification. It covers the
keys that the file uses and refuses every other, so a misspelt key fails here and a new one is added knowingly.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCHEMA = json.loads((Path(__file__).parent / "data" / "compose-keys-in-use.json").read_text())
OURS = ("api", "maintenance", "migrate", "worker", "worker-cpu")
LONG_LIVED = [name for name in SERVICES if name != "migrate"]
DOCKERFILES = ("api/Dockerfile", "worker/Dockerfile")


def test_the_file_has_the_form_that_compose_asks_for() -> None:
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(COMPOSE)] == []


@pytest.mark.parametrize(
    "damage",
    [
        {"services": {"a": {"image": "x", "comand": []}}},
        {"services": {"a": {"image": "x", "healthcheck": {"test": "true", "interval": "5 seconds"}}}},
        {"services": {"a": {"image": "x", "depends_on": {"b": {"condition": "healthy"}}}}},
        {"services": {"a": {"image": "x", "restart": False}}},
        {"services": {"a": {}}},
        {"service": {}},
    ],
)
def test_the_schema_finds_a_slip(damage: dict[str, Any]) -> None:
    assert not Draft202012Validator(SCHEMA).is_valid(damage)


def test_every_image_of_ours_is_built_from_a_file_that_exists() -> None:
    for name in OURS:
        build = SERVICES[name]["build"]
        assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_every_volume_and_network_is_declared() -> None:
    for service in SERVICES.values():
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])
        assert set(service["networks"]) <= set(COMPOSE["networks"])


def test_whatever_uses_the_database_waits_for_its_schema() -> None:
    for name in set(OURS) - {"migrate"}:
        assert "ATELIER_DATABASE_URL" in SERVICES[name]["environment"]
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert SERVICES["migrate"]["restart"] == "no"


def test_whatever_is_waited_for_exists_and_can_be_healthy() -> None:
    for service in SERVICES.values():
        for name, dependency in service.get("depends_on", {}).items():
            assert dependency["condition"] != "service_healthy" or "healthcheck" in SERVICES[name]


def test_every_variable_of_ours_is_a_setting_with_a_value_that_it_takes() -> None:
    for name in OURS:
        given = {key: value for key, value in SERVICES[name]["environment"].items() if key.startswith("ATELIER_")}
        values = {key.removeprefix("ATELIER_").lower(): _by_default(value) for key, value in given.items()}
        assert set(values) <= set(Settings.model_fields)
        Settings.load(**values)
    assert set(re.findall(r"ATELIER_(\w+)", TEXT)) <= {name.upper() for name in Settings.model_fields}


def _by_default(value: str) -> str:
    """Return a value as Compose makes it while no variable of the operator's is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_all_processes_of_ours_share_one_database_one_broker_and_one_storage() -> None:
    shared = ("ATELIER_DATABASE_URL", "ATELIER_REDIS_URL", "ATELIER_STORAGE_URL", "ATELIER_WEIGHTS")
    assert len({tuple(SERVICES[name]["environment"][key] for key in shared) for name in OURS}) == 1
    assert {tuple(SERVICES[name]["volumes"]) for name in OURS} == {("storage:/var/lib/atelier",)}


@pytest.mark.parametrize("name", LONG_LIVED)
def test_whatever_runs_for_long_is_watched_restarted_and_given_time_to_end(name: str) -> None:
    assert {"healthcheck", "stop_grace_period"} <= set(SERVICES[name])
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_a_gpu_is_reserved_for_the_worker_of_that_profile_only() -> None:
    (device,) = SERVICES["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert ("count" in device) != ("device_ids" in device), "Compose takes one of them"
    assert SERVICES["worker"]["profiles"] == ["gpu"]
    assert SERVICES["worker-cpu"]["profiles"] == ["cpu"]
    assert "deploy" not in SERVICES["worker-cpu"]


def test_only_the_api_is_published_and_only_to_this_host() -> None:
    assert [name for name in SERVICES if "ports" in SERVICES[name]] == ["api"]
    assert SERVICES["api"]["ports"] == ["${PUBLISH:-127.0.0.1:8765}:8765"]


def test_no_secret_stands_in_the_file_and_none_may_be_forgotten() -> None:
    secrets = [line for line in TEXT.splitlines() if re.match(r"\s*\w*PASSWORD\w*:", line)]
    assert len(secrets) == 2
    assert all("${POSTGRES_PASSWORD:?" in line for line in secrets)


def test_redis_keeps_what_it_took_and_refuses_rather_than_forgets() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


@pytest.mark.parametrize("path", DOCKERFILES)
def test_an_image_installs_hashed_pins_runs_as_nobody_special_and_names_no_index(path: str) -> None:
    text = (ROOT / path).read_text()
    assert len(re.findall(r"^FROM ", text, re.MULTILINE)) == 2
    assert "pip install --only-binary :all: --require-hashes" in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert not re.search(r"index-url|https?://", text)


@pytest.mark.parametrize("path", DOCKERFILES)
def test_whatever_an_image_copies_is_let_through_to_its_build(path: str) -> None:
    allowed = {line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / path).read_text(), re.MULTILINE):
        for source in sources.split():
            assert source.partition("/")[0] in allowed
            assert list(ROOT.glob(source.replace("${DEVICE}", "*"))), f"{source} does not exist"
