"""The commands about keys: over HTTP for operators, and straight to the database for the very first key."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from api.app import create_app
from tests.support.factories import add_key
from tests.support.flask_clients import client_with


def in_a_process(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a shell does, its log and all."""
    command = [sys.executable, "-c", "from api.cli import main; main()", *arguments]
    environment = {**os.environ, "ATELIER_DATABASE_URL": database_url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_a_key_goes_to_stdout_alone_and_what_is_said_of_it_does_not(app, atelier) -> None:
    made = atelier("keys", "create", "ann", "--max-waiting", "3")
    assert (made.exit_code, made.stdout.count("\n")) == (0, 1)
    assert made.stdout.strip() not in made.stderr
    assert "role client for ann" in made.stderr
    assert client_with(app, made.stdout.strip()).get("/v1/jobs").status_code == 200


def test_every_limit_can_be_given(atelier) -> None:
    limits = {"max_waiting": 3, "max_work_per_day": 1e9, "max_requests_per_min": 60, "max_retention_s": 3600.0}
    limits |= {"max_stored_bytes": 10**10}
    options = [part for name, value in limits.items() for part in ("--" + name.replace("_", "-"), value)]
    made = json.loads(atelier("keys", "create", "web", "--owner", "ann", *options, "--json").stdout)
    assert {name: made[name] for name in limits} == limits
    assert (made["owner"], made["role"]) == ("ann", "client")
    assert made["key"].startswith(f"atl_{made['id']}_")


def test_keys_are_listed_without_what_opens(atelier) -> None:
    key = atelier("keys", "create", "boss", "--role", "viewer").stdout.strip()
    table, listed = atelier("keys", "list").stdout, atelier("keys", "list", "--json").stdout
    assert [(each["name"], each["role"]) for each in json.loads(listed)][-1] == ("boss", "viewer")
    assert "boss" in table
    assert key.split("_", 2)[2] not in table + listed


def test_a_revoked_key_opens_nothing_and_is_still_listed(app, atelier) -> None:
    key = atelier("keys", "create", "ann").stdout.strip()
    key_id = key.split("_")[1]
    assert [atelier("keys", "revoke", key_id).exit_code for _ in range(2)] == [0, 0]
    assert client_with(app, key).get("/v1/jobs").status_code == 401
    [listed] = [each for each in json.loads(atelier("keys", "list", "--json").stdout) if each["id"] == key_id]
    assert listed["revoked_at"]


def test_the_last_operators_key_is_kept_with_a_sentence(atelier, key) -> None:
    refused = atelier("keys", "revoke", key.split("_")[1])
    assert refused.exit_code == 1
    assert "last operator's key" in refused.stderr


@pytest.mark.parametrize("role", ["client", "viewer"])
def test_only_operators_look_after_keys(database, atelier, monkeypatch, role) -> None:
    monkeypatch.setenv("ATELIER_KEY", add_key(database, role))
    for arguments in (["create", "x"], ["list"], ["revoke", "x"]):
        refused = atelier("keys", *arguments)
        assert (refused.exit_code, "ATELIER_KEY" in refused.stderr) == (1, True), arguments


def test_a_bad_owner_is_refused_as_the_api_refuses_it(atelier) -> None:
    refused = atelier("keys", "create", "ann", "--owner", "no spaces")
    assert refused.exit_code == 1
    assert "/owner" in refused.stderr


def test_the_first_key_is_written_to_the_database_itself(settings, database) -> None:
    made = in_a_process(settings.database_url, "keys", "create", "admin", "--role", "operator", "--database")
    assert (made.returncode, made.stdout.count("\n")) == (0, 1), made.stderr
    assert made.stdout.strip() not in made.stderr
    assert client_with(create_app(settings), made.stdout.strip()).get("/v1/keys").status_code == 200


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request, tmp_path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.db"
    else:
        server = request.getfixturevalue("postgres")
        yield server.create_database("without_tables")
        server.drop_database("without_tables")


@pytest.mark.parametrize("command", ["keys create admin --role operator --database", "api --host 0.0.0.0 --port 0"])
def test_a_database_without_tables_is_told_with_the_mend(empty_url, command) -> None:
    refused = in_a_process(empty_url, *command.split())
    assert refused.returncode == 1
    assert "atelier db upgrade" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_api_that_others_reach_does_not_start_before_there_is_a_key(settings, database) -> None:
    refused = in_a_process(settings.database_url, "api", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 1
    assert "atelier keys create NAME --role operator --database" in refused.stderr
