"""A child that keeps dying: when it starts again."""

import sys
from types import SimpleNamespace

import pytest

from api.local import child_process
from api.local.child_process import Child
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def now(monkeypatch) -> SimpleNamespace:
    """The monotonic clock, which stands still unless `at` is set."""
    clock = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(child_process, "time", SimpleNamespace(monotonic=lambda: clock.at))
    return clock


def dead(child: Child) -> Child:
    wait_until(lambda: not child.alive, "the child to die")
    return child


def test_each_death_in_a_row_doubles_the_pause_until_the_child_was_healthy(tmp_path, now) -> None:
    child = Child("short-lived", [sys.executable, "-c", ""], log=tmp_path / "log", env={})
    child.start()
    lives_s, pauses_s = [0, 0, 59, 0, 61, 0, 0, 0, 0, 0, 0], [1, 2, 4, 8, 1, 2, 4, 8, 16, 30, 30]
    for lived_s, pause_s in zip(lives_s, pauses_s, strict=True):
        now.at += lived_s
        assert dead(child).restart_if_dead()
        now.at += pause_s - 0.01
        assert not dead(child).restart_if_dead()
        assert child.exit_code == 0
        now.at += 0.01
        assert not child.restart_if_dead()
    child.end()


def test_however_often_a_child_dies_the_pause_stays_the_longest(tmp_path, now) -> None:
    child = Child("hopeless", [sys.executable, "-c", ""], log=tmp_path / "log", env={})
    child._deaths = 5000
    child.start()
    assert dead(child).restart_if_dead()
    now.at += 30
    assert not child.restart_if_dead()
    assert dead(child).restart_if_dead()
    child.end()


def test_a_child_that_does_not_end_in_time_is_killed(tmp_path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    child = Child("deaf", [sys.executable, "-c", deaf], log=tmp_path / "log", env={})
    child.start()
    wait_until(lambda: child.log_tail() == "1", "the child to be deaf")
    child.terminate()
    child.end(grace_s=0.1)
    assert child.exit_code == -9
