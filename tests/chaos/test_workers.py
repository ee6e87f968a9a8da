"""Workers killed, frozen, hung, drained, paused and starved: the job goes on, in time, and once."""

import signal
import time
from collections.abc import Iterator

import pytest
from celery import Celery

from shared.db.jobs import queries
from shared.messaging.broker import PAINT_QUEUE, Broker, create_celery
from tests.chaos.rig import Rig
from tests.chaos.scale import scaled
from tests.chaos.verdict import judge, settle
from tests.support.redis import messages_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.chaos

LEASE_S = 5.0


@pytest.fixture(scope="module", params=scaled(["postgres"], ["sqlite", "postgres"]))
def rig(request) -> Iterator[Rig]:
    with Rig(database=request.param, painters=2, lease_s=LEASE_S, null_step_s=0.05, stall_s=6.0, starve_s=5.0) as made:
        yield made


@pytest.fixture
def client(rig):
    with rig.client() as opened:
        yield opened


def report(what: str, values: list[float], bound: float) -> None:
    worst, middle = max(values), sorted(values)[len(values) // 2]
    print(f"\n{what}: worst {worst:.1f}, median {middle:.1f}, bound {bound:.1f}, n {len(values)}")
    assert worst <= bound


def holder(rig: Rig, job_id: str):
    return rig.processes[rig.job(job_id).worker]


def test_a_killed_workers_job_is_claimed_again_within_its_lease_and_five_seconds(rig, client) -> None:
    waited = []
    for _ in range(scaled(2, 30)):
        job_id = rig.submit(client, steps=400)
        rig.wait_running(job_id, step=2)
        holder(rig, job_id).kill()
        killed_at = time.monotonic()
        rig.wait_running(job_id, attempt=2, step=0)
        waited.append(time.monotonic() - killed_at)
        client.cancel(job_id)
        rig.wait_state(job_id, "canceled")
        rig.wait_ready()
    report("claimed again after SIGKILL, s", waited, LEASE_S + 5)


def test_the_job_of_a_killed_child_goes_back_before_its_lease_ends(rig, client) -> None:
    job_id = rig.submit(client, steps=100)
    rig.wait_running(job_id, step=2)
    worker = holder(rig, job_id)
    worker.signal(signal.SIGKILL, worker.painters())
    rig.wait_state(job_id, "succeeded")
    assert rig.job(job_id).attempt == 2


def test_a_thawed_zombie_writes_nothing_and_one_attempt_wins(rig, client) -> None:
    for _ in range(scaled(1, 5)):
        job_id = rig.submit(client, steps=160)
        rig.wait_running(job_id, step=2)
        zombie = holder(rig, job_id)
        zombie.freeze()
        rig.wait_running(job_id, attempt=2, step=1, timeout_s=LEASE_S + 20)
        zombie.thaw()
        ended = rig.wait_state(job_id, "succeeded")
        assert (ended.attempt, ended.worker == zombie.name) == (2, False)
        assert {key.split("/")[2] for key in ended.result.values() if str(key).startswith("jobs/")} == {"2"}
        rig.wait_ready()
    assert judge(rig, []).faults == []


def test_one_message_delivered_ten_times_is_one_run(rig, client) -> None:
    job_id = rig.submit(client, steps=20)
    broker = Broker(rig.settings)
    for _ in range(10):
        broker.send_paint([job_id])
    rig.wait_state(job_id, "succeeded")
    wait_until(lambda: messages_in(rig.redis) == 0, "every message is read")
    with rig.database.reading() as session:
        claims = [event for event in queries.list_events(session, job_id) if event.name == "job_claimed"]
    assert len(claims) == rig.job(job_id).attempt == 1


def test_sigterm_in_mid_picture_drains_and_another_goes_on(rig, client) -> None:
    exits, resumes = [], []
    for _ in range(scaled(1, 5)):
        job_id = rig.submit(client, steps=200)
        rig.wait_running(job_id, step=4)
        worker = holder(rig, job_id)
        asked_at = time.monotonic()
        assert worker.terminate() == 0
        exits.append(time.monotonic() - asked_at)
        resumed = rig.wait_running(job_id, attempt=2, step=0)
        resumes.append(time.monotonic() - asked_at - exits[-1])
        with rig.database.reading() as session:
            names = [event.name for event in queries.list_events(session, job_id)]
        assert names[-3:] == ["job_claimed", "job_returned", "job_claimed"]
        assert resumed.lost_attempts == 0
        losses = client.losses(client.wait(job_id).id)
        assert losses["step"] == list(range(1, 201))
        assert f'"step": {rig.job(job_id).progress["step"]}' in '"step": 200'
        worker.start()
        rig.wait_ready()
    report("exit after SIGTERM, s", exits, 15)
    report("resumed after that, s", resumes, 15)


def test_a_child_that_hangs_is_killed_and_the_worker_paints_on(rig, client) -> None:
    job_id = rig.submit(client, steps=200)
    rig.wait_running(job_id, step=2)
    worker = holder(rig, job_id)
    (child,) = worker.painters()
    child.send_signal(signal.SIGSTOP)
    hung_at = time.monotonic()
    wait_until(lambda: not child.is_running() or child.status() == "zombie", "the child is dead", timeout_s=40)
    report("killed after hanging, s", [time.monotonic() - hung_at], rig.settings.stall_s + 10)
    others = [rig.submit(client, steps=4) for _ in range(6)]
    for other in others:
        rig.wait_state(other, "succeeded", timeout_s=30)
    rig.wait_state(job_id, "succeeded")


def test_a_worker_told_to_drain_pause_and_resume_obeys_within_two_seconds(rig, client) -> None:
    took = []
    for wish in ("drain", "pause"):
        job_id = rig.submit(client, steps=100)
        rig.wait_running(job_id, step=2)
        name = rig.job(job_id).worker
        told_at = time.monotonic()
        client.set_worker_state(name, wish)
        if wish == "drain":
            rig.wait_job(job_id, lambda job, name=name: job.worker != name, "the job is handed back")
        took.append(time.monotonic() - told_at)
        rig.wait_state(job_id, "succeeded")
        later = [rig.submit(client, steps=2) for _ in range(4)]
        assert {rig.wait_state(job_id, "succeeded").worker for job_id in later} == {
            ({"worker-1", "worker-2"} - {name}).pop()
        }
        client.set_worker_state(name, "work")
    client.pause_queue()
    paused = rig.submit(client, steps=2)
    other = rig.submit(client, steps=2)
    wait_until(lambda: client.job(paused).raw()["queue"]["waiting_for"] == "paused", "it says why it waits")
    resumed_at = time.monotonic()
    client.resume_queue()
    rig.wait_state(paused, "succeeded")
    took.append(time.monotonic() - resumed_at)
    rig.wait_state(other, "succeeded")
    report("wish obeyed after, s", took, 2.0)


def test_workers_that_stopped_consuming_replace_themselves(rig, client) -> None:
    celery = create_celery(rig.settings)
    wait_until(lambda: all(consumed_queues(celery)), "both obey what was wished of them last, and take messages")
    celery.control.cancel_consumer(PAINT_QUEUE)
    wait_until(lambda: consumed_queues(celery) == [[], []], "both have stopped")
    pids = {name: rig.processes[name].pid for name in ("worker-1", "worker-2")}
    for _ in range(5):  # kombu puts off a cancel until the read under way has ended, which may still take a message
        rig.wait_state(rig.submit(client, steps=2), "succeeded", timeout_s=60)
        if starved(rig):
            break
    assert starved(rig)
    assert {name: rig.processes[name].pid for name in pids} == pids


def starved(rig) -> bool:
    """Whether a worker has found that it takes no messages."""
    return any("worker_starved" in rig.processes[name].log() for name in ("worker-1", "worker-2"))


def consumed_queues(celery: Celery) -> list[list[object]]:
    """What each worker that answers reads messages from."""
    return list((celery.control.inspect(timeout=2.0).active_queues() or {}).values())


def test_a_job_over_its_limit_fails_with_its_picture(rig, client) -> None:
    job_id = rig.submit(client, steps=2000, time_limit_s=1.0)
    failed = rig.wait_state(job_id, "failed")
    assert failed.error_code == "timed_out"
    assert failed.result["partial"] is True


def test_a_canceled_job_stays_canceled_whatever_restarts(rig, client) -> None:
    """Cancel, then kill every worker and wipe Redis."""
    for _ in range(scaled(1, 5)):
        made = [rig.submit(client, steps=2000) for _ in range(scaled(4, 20))]
        rig.wait_running(made[0])
        for job_id in made:
            client.cancel(job_id)
        for name in ("worker-1", "worker-2"):
            rig.processes[name].kill()
        rig.wipe_redis()
        assert {rig.wait_state(job_id, "canceled").state for job_id in made} == {"canceled"}
        rig.wait_ready()


def test_nothing_is_left_half_done(rig) -> None:
    settle(rig, timeout_s=60)
    assert judge(rig, []).faults == []
