import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.cli import main
from api.local import doctor
from api.local.doctor import Check
from shared.db import sqlite
from shared.errors import Misconfigured
from shared.settings import Settings
from tests.support.scripted_server import as_json, closed_url, serving

pytestmark = pytest.mark.process

PROBED = {"device": {"kind": "cpu", "name": "Abacus"}, "cached": {"patch": "/w/patch-1.npz"}}


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the worker's process answers, instead of loading TensorFlow."""
    answer = dict(PROBED)
    monkeypatch.setattr(doctor, "_probe", lambda _folder: answer)
    return answer


def checks(settings: Settings, url: str | None = None) -> dict[str, Check]:
    return {check.name: check for check in doctor.examine(settings, url or closed_url())}


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home", port=0, weights="patch")


def test_a_machine_that_is_well_has_nothing_to_mend(home) -> None:
    seen = checks(home)
    assert [name for name, check in seen.items() if check.ok is False] == []
    assert seen["device"].found == "CPU: Abacus"
    assert seen["weights"].ok is True
    assert "SQLite 3." in seen["database"].found
    assert not home.home.exists(), "looking leaves nothing behind"


def test_whatever_fails_says_its_mend(home, monkeypatch, tmp_path) -> None:
    def no_binary() -> Path:
        raise Misconfigured("No Redis server was found: install it.")

    def broken(_folder: Path) -> None:
        raise subprocess.CalledProcessError(1, "python")

    (tmp_path / "file").touch()
    monkeypatch.setattr("api.local.stack.redis_server.binary", no_binary)
    monkeypatch.setattr(doctor, "_probe", broken)
    monkeypatch.setattr(doctor, "_LEAST_FREE_BYTES", 2**80)
    ill = home.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    failed = {name: check for name, check in checks(ill).items() if check.ok is False}
    assert set(failed) == {"Redis", "database", "disk", "device"}
    assert all(check.mend for check in failed.values())


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x/y"])
def test_a_database_url_that_cannot_be_used_is_a_failed_check(home, url) -> None:
    assert checks(home.model_copy(update={"database_url": url}))["database"].ok is False


def test_a_sqlite_that_must_do_without_a_write_ahead_log_is_worth_knowing(home, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "can_use_wal", lambda _version: False)
    seen = checks(home)["database"]
    assert seen.ok is None
    assert "slower" in seen.found
    assert "pysqlite3" in seen.mend


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=1536df31c0395150\n", "Valkey 9.1.2"),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n", "Redis 7.0.15"),
        ("", "of unknown version"),
    ],
)
def test_a_server_says_its_name_and_version(line, version) -> None:
    assert doctor._version(line) == version


def test_a_redis_elsewhere_is_asked(home, redis_url, tmp_path) -> None:
    assert checks(home.model_copy(update={"redis_url": redis_url}))["Redis"].ok is True
    away = checks(home.model_copy(update={"redis_url": f"unix://{tmp_path}/away.sock"}))["Redis"]
    assert (away.ok, "ATELIER_REDIS_URL" in away.mend) == (False, True)


def test_no_tensorflow_is_a_failure_that_names_the_extras(home, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda _name: False)
    seen = checks(home)
    assert seen["TensorFlow"].ok is False
    assert "extra" in seen["TensorFlow"].mend
    assert "device" not in seen


@pytest.mark.parametrize(
    ("wanted", "cached", "ok"),
    [
        ("auto", {}, None),
        ("auto", {"patch": "x"}, None),
        ("auto", {"imagenet-8bit": "x", "patch": "x"}, True),
        ("imagenet-8bit", {"imagenet": "x"}, None),
        ("patch", {"patch": "x"}, True),
        ("imagenet", {"patch": "x"}, None),
        ("imagenet", {"imagenet": "x"}, True),
        ("/no/such/file.h5", {}, False),
        (__file__, {}, True),
    ],
)
def test_weights_are_here_or_come_later_or_never(home, probe, wanted, cached, ok) -> None:
    probe["cached"] = cached
    assert checks(home.model_copy(update={"weights": wanted}))["weights"].ok is ok


def test_auto_says_why_it_may_paint_with_no_better_weights(home, probe) -> None:
    probe["cached"] = {"imagenet-8bit": "x"}
    assert (
        "`imagenet` only if its publisher or the mirror answers"
        in checks(home.model_copy(update={"weights": "auto"}))["weights"].found
    )


def test_a_home_below_a_file_cannot_be_used(home, tmp_path) -> None:
    (tmp_path / "file").touch()
    assert checks(home.model_copy(update={"home": tmp_path / "file" / "home"}))["home"].ok is False


def test_a_taken_port_is_a_failure_only_where_no_server_of_ours_answers(home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = home.model_copy(update={"port": listener.getsockname()[1]})
        assert checks(taken)["port"].ok is False
    broken = {"ok": False, "reason": "dispatch: KeyError"}
    body = {"state": "degraded", "parts": {"redis": {"ok": False}, "database": {"ok": True}, "maintenance": broken}}
    with serving(as_json(body)) as server:
        seen = checks(home, server.url)
    assert "port" not in seen
    found = f"degraded at {server.url}, without redis, maintenance (dispatch: KeyError)"
    assert (seen["server"].ok, seen["server"].found) == (False, found)


def test_the_command_marks_each_check_and_exits_1_if_one_fails(monkeypatch, tmp_path) -> None:
    seen = [Check("good", True, "fine"), Check("new", None, "none", "Make one."), Check("bad", False, "no", "Mend it.")]
    monkeypatch.setattr("api.local.doctor.examine", lambda *_: iter(seen))
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["doctor"])
    marks = [line[0] for line in result.stdout.splitlines()]
    assert marks == ["✓", "-", " ", "✗", " "]
    assert (result.exit_code, result.stderr) == (1, "Error: 1 of 3 checks failed: bad.\n")
    as_data = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert as_data[2] == {"name": "bad", "ok": False, "found": "no", "mend": "Mend it."}
