"""The chores, on real rows, files and Redis."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from shared import clock, ids
from shared.db import sql_clock, workers
from shared.db.access import browser_sessions
from shared.db.admin import minute_stats
from shared.db.jobs import claims, queries, transitions
from shared.db.models import BrowserSession, Job
from shared.errors import StorageFull, StorageUnavailable
from shared.messaging.chores import BrokenTasks
from shared.messaging.progress import RedisProgress
from shared.messaging.progress import connect as connect_redis
from shared.storage.store import attempt_key, image_key
from tests.support.claims import claim_job
from tests.support.factories import add_image, add_job, add_key
from tests.support.redis import messages_in
from tests.support.waiting import wait_until
from worker.maintenance.orphans import remove_orphans
from worker.maintenance.retention import Retention
from worker.maintenance.scheduler import MaintenanceLoop, PeriodicTask
from worker.maintenance.scheduler import run as run_tasks


@pytest.fixture
def loop(settings, database, store, redis) -> MaintenanceLoop:
    return MaintenanceLoop(settings, database, store)


def claim(database, job_id: str, lease_s: float = 20.0) -> claims.Claim:
    with database.writing() as session:
        held = claim_job(session, job_id, worker="w", weights={}, lease_s=lease_s)
    assert held is not None
    return held


def test_a_job_whose_lease_ended_is_sent_again_at_once(loop, database, redis) -> None:
    job_id = add_job(database)
    claim(database, job_id, lease_s=-1)
    loop.end_leases()
    assert messages_in(redis) == 1
    with database.reading() as session:
        assert queries.get_job(session, job_id).state == "queued"


def test_a_job_that_ends_by_the_sweeper_closes_its_stream(loop, database, redis) -> None:
    late = add_job(database)
    poison = add_job(database, lost_attempts=2)
    claim(database, poison, lease_s=-1)
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == late).values(start_by=sql_clock.now_plus(-1)))
    loop.expire()
    loop.end_leases()
    ends = [list(RedisProgress(redis).events(job_id))[-1].data for job_id in (late, poison)]
    assert ends == [{"state": "expired"}, {"state": "failed"}]


def test_a_held_queue_is_released_once_storage_takes_a_file(loop, database, store, monkeypatch) -> None:
    with database.writing() as session:
        workers.hold_queue(session, "storage_full")

    def full(*_: object) -> None:
        raise StorageFull

    with monkeypatch.context() as still_full:
        still_full.setattr(store, "put", full)
        with pytest.raises(StorageFull):
            loop.release_queue()
    loop.release_queue()
    with database.reading() as session:
        assert workers.get_queue(session).held_for is None


def test_what_is_left_of_jobs_past_their_time_is_no_file_then_no_row(settings, database, store) -> None:
    retention = Retention(settings, database, store)
    job_id = add_job(database)
    held = claim(database, job_id)
    store.put(attempt_key(job_id, 1, "result.png"), b"picture")
    with database.writing() as session:
        transitions.succeed(session, held, result={"key": attempt_key(job_id, 1, "result.png")})
    remove_orphans(database, store, older_than_s=0)
    assert store.exists(attempt_key(job_id, 1, "result.png"))
    with database.writing() as session:
        session.execute(
            update(Job).values(expires_at=sql_clock.now_plus(-1), ended_at=sql_clock.now_plus(-200 * 86_400))
        )
    retention.expire_files()
    assert list(store.list("jobs/")) == []
    retention.delete_old_rows()
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_only_files_that_no_row_names_are_orphans(database, store, settings) -> None:
    kept_image = add_image(database, b"kept")
    running, ended = add_job(database, image_id=kept_image), add_job(database, image_id=kept_image)
    for _ in range(2):
        held = claim(database, running)
        with database.writing() as session:
            claims.save_checkpoint(
                session, held, {"key": attempt_key(running, held.attempt, "checkpoint.npz"), "step": 1}
            )
            if held.attempt == 1:
                transitions.give_back(session, held, reason="drain")
    with database.writing() as session:
        transitions.request_cancel(session, ended)
    kept = [image_key(kept_image), attempt_key(running, 2, "checkpoint.npz"), attempt_key(running, 2, "result.png")]
    orphans = [
        image_key(ids.image_id(b"upload that was never finished")),
        attempt_key(running, 1, "checkpoint.npz"),
        attempt_key(ended, 1, "result.png"),
        attempt_key(ids.new_id(), 1, "result.png"),
        "probe/0123",
    ]
    for key in (*kept, *orphans):
        store.put(key, b"bytes")
    assert remove_orphans(database, store, older_than_s=60) == 0
    assert remove_orphans(database, store, older_than_s=0) == len(orphans)
    assert sorted(store.list("")) == sorted(kept)


class _Ending(threading.Event):
    """One that notes each pause and waits for none; it is set `after` so many."""

    def __init__(self, after: int = 1000) -> None:
        super().__init__()
        self.pauses_s: list[float] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses_s.append(timeout or 0.0)
        if len(self.pauses_s) == self._after:
            self.set()
        return self.is_set()


def test_a_chore_that_fails_is_tried_again_and_its_trouble_is_told_once(redis, capsys) -> None:
    ending, tries = threading.Event(), []

    def act() -> None:
        tries.append(1)
        if len(tries) == 5:
            ending.set()
        raise StorageUnavailable

    PeriodicTask("test", 0.0, act).repeat(ending, BrokenTasks(redis))
    assert len(tries) == 5
    assert capsys.readouterr().out.count("maintenance_task_failed") == 1
    assert BrokenTasks(redis).current() == {}  # its trouble shows elsewhere


def test_a_broken_chore_is_shown_until_it_works_again_and_its_pauses_grow(redis) -> None:
    ending, broken, shown = _Ending(), BrokenTasks(redis), []

    def act() -> None:
        shown.append(broken.current())
        if len(shown) < 9:
            raise ZeroDivisionError
        if len(shown) == 10:
            ending.set()

    with capture_logs() as logged:
        PeriodicTask("test", 0.5, act).repeat(ending, broken)
    assert shown == [{}, *[{"test": "ZeroDivisionError"}] * 8, {}]
    assert broken.counts() == {"test": 8}
    assert ending.pauses_s == [1, 2, 4, 8, 16, 32, 60, 60, 0.5, 0.5]
    assert [line["event"] for line in logged] == ["maintenance_task_broken"] * 8 + ["maintenance_task_recovered"]


def test_a_broken_chore_stops_no_other(settings, database, redis, monkeypatch) -> None:
    """Not even the one that repairs what the others leave behind."""

    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    for name in ("expire", "end_leases", "release_queue", "remove_orphans", "store_minute_stats"):
        monkeypatch.setattr(MaintenanceLoop, name, stumble)
    ending = threading.Event()
    with capture_logs():  # pytest's own would draw the tracebacks, for seconds
        process = threading.Thread(target=run_tasks, args=(settings, ending))
        process.start()
        try:
            wait_until(lambda: len(BrokenTasks(redis).current()) == 5, "the broken ones are marked")
            add_job(database)
            wait_until(lambda: messages_in(redis) == 1, "a job is sent all the same")
        finally:
            ending.set()
            process.join(10)


def test_without_redis_a_broken_chore_goes_on(settings) -> None:
    ending = _Ending(after=3)

    def act() -> None:
        raise ZeroDivisionError

    with capture_logs():
        PeriodicTask("test", 0.5, act).repeat(ending, BrokenTasks(connect_redis(settings.redis_url)))
    assert ending.pauses_s == [1, 2, 4]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_chore_whose_thread_ends_all_the_same_ends_the_process(settings, database, monkeypatch) -> None:
    def leave(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(MaintenanceLoop, "expire", leave)
    assert run_tasks(settings, threading.Event()) == 1
    for thread in threading.enumerate():
        if thread.name == "expire":
            thread.join(10)


def test_the_minutes_reading_is_taken_among_the_chores(loop, database) -> None:
    add_job(database)
    tasks = {task.name: task.act for task in loop.tasks()}
    for _ in range(2):
        tasks["minute_stats"]()
    with database.reading() as session:
        assert minute_stats.list_since(session, clock.now() - timedelta(minutes=2))[-1].waiting == 1


def test_old_readings_and_sign_ins_that_are_over_are_forgotten_among_the_chores(loop, database) -> None:
    key_id = add_key(database).split("_")[1]
    with database.writing() as session:
        minute_stats.store(
            session, minute_stats.sample(session, clock.now() - timedelta(seconds=minute_stats.KEPT_S + 60))
        )
        over, good = (browser_sessions.create(session, key_id, lifetime_s=life_s) for life_s in (-1, 60))
    {task.name: task.act for task in loop.tasks()}["delete_old_rows"]()
    with database.reading() as session:
        assert minute_stats.list_since(session, clock.now() - timedelta(days=30)) == []
        assert session.scalars(select(func.count()).select_from(BrowserSession)).one() == 1
        assert browser_sessions.find(session, good)
        assert not browser_sessions.find(session, over)


def test_the_process_does_its_chores_until_it_is_told_to_end(settings, database, redis) -> None:
    job_id = add_job(database)
    claim(database, job_id, lease_s=-1)
    ending = threading.Event()
    process = threading.Thread(target=run_tasks, args=(settings, ending))
    process.start()
    try:
        wait_until(lambda: messages_in(redis) == 1, "the lost job is sent")
    finally:
        ending.set()
        process.join(10)
    assert not process.is_alive()
