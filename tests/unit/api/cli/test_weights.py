"""`atelier weights`, which has another process do the work."""

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from shared.painting.params import WEIGHTS_NAMES
from tests.support.scripted_server import closed_url

pytestmark = pytest.mark.process


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["weights", *arguments])


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Python, to be written: what it does is what the worker does."""
    path = tmp_path / "python"
    path.touch(mode=0o700)
    monkeypatch.setattr(sys, "executable", str(path))
    return path


def test_without_internet_it_exits_4_and_says_how_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ATELIER_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("https_proxy", closed_url())
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    result = call("fetch")
    assert result.exit_code == 4
    assert result.stdout == ""
    reason = result.stderr.splitlines()[-1]
    assert reason.startswith("Error: No `imagenet`: https://storage.googleapis.com/")
    assert "Connection refused" in reason
    assert reason.endswith(" from another machine and run `atelier weights import FILE`.")


@pytest.mark.parametrize("arguments", [["fetch"], ["fetch", "imagenet"], ["import", __file__]])
def test_it_prints_where_the_weights_lie_and_says_why_they_are_no_better(process: Path, arguments: list[str]) -> None:
    told = {"name": "imagenet-8bit", "path": "/weights/file", "reason": "No `imagenet`: nobody answers."}
    process.write_text(f"#!/bin/sh\nprintf '%s ' \"$@\" > {process}.asked\necho '{json.dumps(told)}'\n")
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (0, "/weights/file\n")
    assert result.stderr.splitlines()[-2:] == [
        "No `imagenet`: nobody answers.",
        "The imagenet-8bit weights are here:",
    ]
    assert Path(f"{process}.asked").read_text().split() == ["-P", "-m", "worker", "weights", *arguments]
    assert json.loads(call(*arguments, "--json").stdout) == told


def test_it_lists_what_is_here_and_how_the_rest_is_had() -> None:
    result = call("list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "imagenet", "imagenet-8bit", "patch"]
    assert [entry["name"] for entry in json.loads(call("list", "--json").stdout)] == [*WEIGHTS_NAMES[1:]]


@pytest.mark.parametrize("name", ["patch", "auto", "nonsense"])
def test_weights_that_nobody_publishes_are_a_mistake_in_the_command(name: str) -> None:
    result = call("fetch", name)
    assert (result.exit_code, "Fetching" in result.stderr) == (2, False)


def test_a_file_that_nobody_published_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "mine.h5").write_bytes(b"mine")
    result = call("import", str(tmp_path / "mine.h5"))
    assert result.exit_code == 1
    assert "ATELIER_WEIGHTS" in result.stderr


def test_a_process_that_breaks_off_is_said(process: Path) -> None:
    process.write_text("#!/bin/sh\nexit 7\n")
    result = call("fetch")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "Error: `python -m worker weights` failed (exit code 7).",
    )


def test_a_setting_that_cannot_be_used_is_told_first(process: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "http")
    result = call("fetch")
    assert result.exit_code == 1
    assert "ATELIER_PORT" in result.stderr
    assert "Fetching" not in result.stderr
