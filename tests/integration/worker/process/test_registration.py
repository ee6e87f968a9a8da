"""What a worker's row says of its painter, and how it comes to know it."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

import migrations
from shared.db import workers
from shared.db.base import Database, connect
from shared.errors import DatabaseUnavailable
from shared.painting.costs import Capacity
from tests.support.fakes import FakePainter
from tests.support.waiting import wait_until
from worker.process import registration
from worker.process.registration import WorkerRegistration


@dataclass
class LearningPainter(FakePainter):
    capacity = Capacity(memory_bytes=10**9, gflop_per_s={"float32": 50.0})


@pytest.fixture
def painter() -> LearningPainter:
    return LearningPainter()


@pytest.fixture
def said(database, painter, monkeypatch) -> WorkerRegistration:
    monkeypatch.setattr(registration, "_EVERY_S", 3600.0)
    return WorkerRegistration("w1", database, painter)


def about(database: Database) -> dict | None:
    with database.reading() as session:
        return workers.get_description(session, "w1")


def test_a_row_says_what_paints_and_what_that_can_do(said, database, painter) -> None:
    said.start()
    told = about(database)
    assert told == {
        "process": os.getpid(),
        "weights": dict(painter.weights),
        "device": {"kind": "fake"},
        "capacity": told["capacity"],
        "warm_styles": [],
        "memory": {"held": 989_855_744, "peak": 1_996_488_704},
    }
    assert Capacity.model_validate(told["capacity"]) == painter.capacity


def test_what_the_painter_learns_is_told_after_the_message(said, database, painter) -> None:
    said.start()
    painter.capacity = painter.capacity.model_copy(update={"gflop_per_s": {"float32": 70.0}})
    said.update()
    assert about(database)["capacity"]["gflop_per_s"] == {"float32": 50.0}
    said.refresh()
    said.update()
    assert about(database)["capacity"]["gflop_per_s"] == {"float32": 70.0}


def test_the_styles_kept_are_told_after_the_message_and_memory_at_any_time(database, painter) -> None:
    warm: list[str] = []
    said = WorkerRegistration("w1", database, painter, lambda: warm)
    said.start()
    warm.append("sha256:abc")
    painter.memory = {"held": 3 * 2**24 + 1, "peak": 2**32}
    said.update()
    assert about(database)["memory"] == {"held": 3 * 2**24, "peak": 2**32}
    assert about(database)["warm_styles"] == []
    said.refresh()
    said.update()
    assert about(database)["warm_styles"] == ["sha256:abc"]


def test_a_row_that_knows_is_not_written_again(said, database, monkeypatch) -> None:
    said.start()
    monkeypatch.setattr(workers, "set_description", None)
    said.update()


def test_a_worker_that_starts_while_the_database_is_away_is_told_of_later(said, database, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as away:
        for name in ("reading", "writing"):
            away.setattr(database, name, refuse)
        said.start()
        said.update()
    with database.writing() as session:
        workers.record_heartbeat(session, "w1")  # its parent is the first to see the database again
    assert about(database) is None
    said.update()
    assert about(database)["weights"]["name"] == "patch"


def test_a_row_that_was_forgotten_is_told_again(said, database) -> None:
    said.start()
    with database.writing() as session:
        workers.remove(session, "w1")
        workers.record_heartbeat(session, "w1")
    said.update()
    assert about(database)["capacity"]["memory_bytes"] == 10**9


def test_a_worker_that_has_left_stays_forgotten(said, database) -> None:
    said.start()
    with database.writing() as session:
        workers.remove(session, "w1")
    said.update()
    with database.reading() as session:
        assert workers.list_workers(session) == []


@pytest.mark.slow
def test_a_real_worker_older_than_its_database_is_told_of(tmp_path, redis_url, redis) -> None:
    url, log = f"sqlite:///{tmp_path}/late.db", tmp_path / "log"
    given = {"HOME": tmp_path, "DATABASE_URL": url, "REDIS_URL": redis_url, "ENGINE": "null", "WORKER_NAME": "w1"}
    env = os.environ | {f"ATELIER_{name}": str(value) for name, value in given.items()}
    with log.open("wb") as output:
        worker = subprocess.Popen([sys.executable, "-m", "worker", "paint"], env=env, stdout=output, stderr=output)
    try:
        wait_until(lambda: b"worker_not_registered" in log.read_bytes(), "the painter misses it", timeout_s=100)
        migrations.upgrade(url)
        database = connect(url)
        told = wait_until(lambda: about(database), "the row says what paints")
        assert (told["weights"]["name"], told["capacity"]["memory_bytes"]) == ("null", 2**40)
    finally:
        worker.terminate()
        assert worker.wait(30) == 0
