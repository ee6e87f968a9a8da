"""A painting worker as a process: how it ends, what it leaves, and what Celery's own commands see of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.db import workers
from shared.db.base import Database
from shared.settings import Settings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

#: A worker that has replaced itself while a child of its was being killed.
_REPLACED = """
import subprocess
from worker.process import watchdog

subprocess.Popen(["sleep", "600"]).kill()
watchdog.replace_process()
"""
#: A worker whose watchdog meets an error that nobody foresaw.
_WITHOUT_WATCHDOG = """
import sys
from worker import __main__ as start
from worker.process.watchdog import Watchdog

def stumble(self):
    raise ZeroDivisionError

Watchdog.check = stumble
if __name__ == "__main__":
    sys.exit(start.main(["paint"]))
"""


@contextmanager
def worker(settings: Settings, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    given = settings.model_dump(include={"home", "database_url", "redis_url", "storage_url"})
    env = os.environ | {f"ATELIER_{name.upper()}": str(value) for name, value in given.items()}
    env |= {"ATELIER_ENGINE": "null", "ATELIER_WORKER_NAME": "w1", "PYTHONPATH": str(Path.cwd())}
    with (settings.home / "worker.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *command], env=env, stdout=log, stderr=log)
    process.env = env  # type: ignore[attr-defined] # for commands beside it
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def is_ready(database: Database) -> bool:
    with database.reading() as session:
        about = workers.get_description(session, "w1")
    return bool(about and about.get("process"))


def zombies_of(pid: int) -> list[str]:
    stats = (path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/stat") if path.exists())
    fields = (stat.rpartition(")")[2].split() for stat in stats)
    return [state for state, parent, *_ in fields if (state, parent) == ("Z", str(pid))]


def test_a_worker_that_replaced_itself_leaves_no_zombie_hears_celery_and_exits_0(settings, database, redis) -> None:
    with worker(settings, "-c", _REPLACED) as process:
        wait_until(lambda: is_ready(database), "the worker is ready")
        assert zombies_of(process.pid) == []
        celery = [sys.executable, "-m", "celery", "-A", "worker.app"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        asked = [
            subprocess.Popen([*celery, *words], env=process.env, **pipes)
            for words in (("status",), ("inspect", "active"), ("report",))
        ]
        status, active, report = (each.communicate(timeout=60)[0] for each in asked)
        assert [each.returncode for each in asked] == [0, 0, 0]
        assert "1 node online" in status
        assert "- empty -" in active
        assert "visibility_timeout" in report
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_worker_that_loses_its_watchdog_ends_with_an_error(settings, database, redis, tmp_path) -> None:
    script = tmp_path / "broken_worker.py"
    script.write_text(_WITHOUT_WATCHDOG)
    with worker(settings, str(script)) as process:
        assert process.wait(60) == 1


def test_a_mistake_in_the_settings_is_one_line_and_exit_1(settings, database, tmp_path) -> None:
    for command in (["-m", "worker", "paint"], ["-m", "worker", "maintenance"], ["-m", "api.wsgi"]):
        env = os.environ | {"ATELIER_HOME": str(tmp_path), "ATELIER_PORT": "x"}
        failed = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, check=False)
        said = "Error: ATELIER_PORT: must be a whole number from 0 to 65535 (got 'x')\n"
        assert (failed.returncode, failed.stderr) == (1, said)
