"""`atelier weights fetch`, which has another process do the work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from tests.scripted_server import closed_url


def fetch() -> Result:
    return CliRunner().invoke(main, ["weights", "fetch"])


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
    result = fetch()
    assert result.exit_code == 4
    assert result.stdout == ""
    reason = result.stderr.splitlines()[-1]
    assert reason.startswith("Error: https://storage.googleapis.com/")
    assert "Connection refused" in reason
    assert reason.endswith(f"_notop.h5 from another machine to {tmp_path / 'weights'}.")


def test_it_prints_where_the_weights_lie(process: Path) -> None:
    process.write_text("#!/bin/sh\necho /weights/vgg19.h5 $@\n")
    result = fetch()
    assert (result.exit_code, result.stdout) == (0, "/weights/vgg19.h5 -P -m worker weights\n")
    assert "80 MB" in result.stderr


def test_a_process_that_breaks_off_is_said(process: Path) -> None:
    process.write_text("#!/bin/sh\nexit 7\n")
    result = fetch()
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "Error: `python -m worker weights` broke off (exit code 7).",
    )


def test_a_setting_that_cannot_be_used_is_told_first(process: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "http")
    result = fetch()
    assert result.exit_code == 1
    assert "ATELIER_PORT" in result.stderr
    assert "80 MB" not in result.stderr
