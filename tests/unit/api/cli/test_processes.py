import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import migrations
from api import wsgi
from api.cli import main
from api.local import stack
from shared.errors import Misconfigured
from shared.settings import Settings


@pytest.fixture(autouse=True)
def _quiet_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.logs.configure", lambda *_: None)  # it would replace pytest's own handlers


@pytest.fixture
def atelier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(("name", "kind"), [("worker", "paint"), ("maintenance", "maintenance")])
def test_a_worker_replaces_the_command_so_that_signals_reach_it(atelier, monkeypatch, name, kind) -> None:
    became: list[object] = []
    monkeypatch.setattr(os, "execv", lambda *call: became.extend(call))
    assert atelier(name).exit_code == 0
    assert became == [sys.executable, [sys.executable, "-P", "-m", "worker", kind]]


def test_up_starts_the_stack_that_was_asked_for(atelier, monkeypatch) -> None:
    started: list[tuple[Settings, int]] = []
    monkeypatch.setattr(stack, "run", lambda settings, workers: started.append((settings, workers)))
    assert atelier("up", "--port", "0", "--workers", "2").exit_code == 0
    ((settings, workers),) = started
    assert (settings.port, settings.host, workers) == (0, "127.0.0.1", 2)


def test_the_api_serves_where_it_is_told(atelier, monkeypatch) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(wsgi, "serve", served.append)
    assert atelier("api", "--host", "127.0.0.2", "--port", "1234").exit_code == 0
    assert (served[0].host, served[0].port) == ("127.0.0.2", 1234)


def test_the_schema_goes_up_and_down_and_says_where_it_is(atelier) -> None:
    assert "atelier db upgrade" in atelier("db", "current").stderr
    assert atelier("db", "upgrade").exit_code == 0
    newest = max(path.name for path in Path(migrations.__file__).parent.glob("versions/0*.py"))
    assert atelier("db", "current").stdout.strip() == newest.split("_")[0]
    assert atelier("db", "downgrade", "base").exit_code == 0
    assert atelier("db", "current").exit_code == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Misconfigured("Port 1 cannot be had: choose another."), "Error: Port 1 cannot be had: choose another.\n"),
        (OSError(28, "No space left on device", "/data/x"), "Error: /data/x: No space left on device.\n"),
        (OSError("odd"), "Error: odd.\n"),
    ],
)
def test_what_may_be_expected_is_one_sentence_and_exit_1(atelier, monkeypatch, error, said) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(stack, "run", fail)
    result = atelier("up")
    assert (result.exit_code, result.stderr) == (1, said)


def test_ctrl_c_exits_130(atelier, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stack, "run", interrupt)
    assert atelier("up").exit_code == 130


def test_a_setting_that_cannot_be_used_is_told_before_anything_starts(atelier, monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_PORT", "http")
    result = atelier("worker")
    said = "Error: ATELIER_PORT: must be a whole number from 0 to 65535 (got 'http')\n"
    assert (result.exit_code, result.stderr) == (1, said)


@pytest.mark.parametrize("command", ["up", "worker", "api"])
def test_weights_of_an_unknown_name_are_refused_before_anything_starts(atelier, monkeypatch, command) -> None:
    monkeypatch.setenv("ATELIER_WEIGHTS", "nope")
    result = atelier(command)
    names = "auto, imagenet, imagenet-8bit, patch"
    said = f"Error: ATELIER_WEIGHTS: must be {names} or the path of an existing file (got 'nope')\n"
    assert (result.exit_code, result.stderr) == (1, said)
