"""Redis frozen and away, the disk full, ten thousand jobs: requests are answered, nothing is lost, nothing grows."""

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from api.client import Client
from api.client.models import ApiProblem
from shared.db import workers
from shared.db.models import Job, JobEvent
from shared.imaging import codec
from shared.messaging import progress
from tests.chaos.rig import PNG, Rig
from tests.chaos.scale import scaled
from tests.chaos.verdict import judge, settle
from tests.support.factories import picture
from tests.support.waiting import wait_until

pytestmark = pytest.mark.chaos


def timed_submits(rig: Rig, client: Client, seconds: float) -> tuple[list[str], list[float]]:
    """Submit for that long; return the ids and how long each answer took."""
    made, took = [], []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        asked_at = time.monotonic()
        made.append(rig.submit(client, steps=2))
        took.append(time.monotonic() - asked_at)
        time.sleep(0.2)
    return made, took


def first_claim_after(rig: Rig, made: list[str]) -> float:
    """Wait until one of the jobs is claimed; return how long that took."""
    began = time.monotonic()
    query = select(func.count()).where(Job.id.in_(made), Job.attempt > 0)

    def claimed() -> bool:
        with rig.database.reading() as session:
            return bool(session.scalar(query))

    wait_until(claimed, "a job is claimed", timeout_s=60)
    return time.monotonic() - began


def test_redis_frozen_delays_no_submit_and_dispatch_goes_on_once_it_thaws() -> None:
    with Rig(null_step_s=0.02) as rig, rig.client() as client:
        running = rig.submit(client, steps=scaled(600, 7000))
        rig.wait_running(running)
        rig.processes["redis"].freeze()
        made, took = timed_submits(rig, client, scaled(10, 120))
        assert rig.job(running).state == "running"  # the painting goes on
        assert client.readiness().state == "degraded"
        rig.processes["redis"].thaw()
        took_again = first_claim_after(rig, [*made, running])
        p99 = sorted(took)[int(len(took) * 0.99)]
        print(f"\nsubmits {len(took)}, p99 {p99:.3f} s (bound 1)")
        assert p99 <= 1
        client.cancel(running)
        thawed_at = time.monotonic()
        first = first_claim_after(rig, made)
        print(
            f"first dispatch after the thaw {time.monotonic() - thawed_at + took_again:.1f} s (bound 15), {first:.1f}"
        )
        assert time.monotonic() - thawed_at <= 15
        settle(rig, timeout_s=120)
        assert judge(rig, made).faults == []


def test_redis_down_refuses_no_submit_and_dispatch_goes_on_once_it_returns() -> None:
    with Rig(null_step_s=0.02) as rig, rig.client() as client:
        redis = rig.processes["redis"]
        redis.wanted = False
        redis.kill()
        made, took = timed_submits(rig, client, scaled(10, 300))
        redis.start()
        first = first_claim_after(rig, made)
        print(f"\nsubmits {len(took)} all accepted, slowest {max(took):.2f} s; first dispatch {first:.1f} s (bound 15)")
        assert first <= 15
        settle(rig, timeout_s=180)
        assert judge(rig, made).faults == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_keeps_every_job_and_serves_again_once_it_has_room(small_disk: Path) -> None:
    with Rig(storage_url=str(small_disk), null_step_s=0.02, painters=1) as rig, rig.client() as client:
        made = [rig.submit(client, steps=100) for _ in range(6)]
        rig.wait_running(made[0])
        ballast = small_disk / "ballast"
        fill(ballast)
        wait_until(lambda: held_for(rig) == "storage_full", "the queue is held", timeout_s=60)
        # On a slow machine the first jobs may end before the disk is full; theirs are the only results there.
        succeeded = {job_id for job_id in made if rig.job(job_id).state == "succeeded"}
        assert len(succeeded) < len(made)
        fill(ballast)  # what those that ended gave back
        with pytest.raises(ApiProblem, match=r"(?i)storage") as refused:
            client.upload(codec.encode(picture(200, 200, seed=3), format="png"))
        assert refused.value.code == "storage_full"
        assert {result.parts[-3] for result in small_disk.rglob("result.png")} <= succeeded
        ballast.unlink()
        freed_at = time.monotonic()
        client.upload(codec.encode(picture(200, 200, seed=3), format="png"))
        next_job = next(job_id for job_id in made if job_id not in succeeded)
        rig.wait_job(next_job, lambda job: job.state == "succeeded", "the next job is painted", timeout_s=60)
        print(f"\nserved again {time.monotonic() - freed_at:.1f} s after space returned (bound 30)")
        assert time.monotonic() - freed_at <= 30
        settle(rig, timeout_s=60)
        verdict = judge(rig, made)
        assert (verdict.faults, verdict.states) == ([], {"succeeded": 6})
        with rig.database.reading() as session:
            assert "job_retried" in set(session.scalars(select(JobEvent.name)))


def fill(path: Path) -> None:
    """Write until there is no room left."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(handle, bytes(2**16)):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(handle)


def held_for(rig: Rig) -> str | None:
    with rig.database.reading() as session:
        return workers.get_queue(session).held_for


def test_ten_thousand_jobs_leave_little_in_redis_and_no_growth_in_memory() -> None:
    jobs, first = scaled((120, 60), (10_000, 500))
    with Rig(null_step_s=0.0, painters=2, preview_interval_s=0.0, checkpoint_s=60.0) as rig, rig.client() as client:
        image = client.upload(PNG).id
        for _ in range(20):  # what the first jobs load
            client.submit(image, [image], preset="classic", params={"steps": 1, "size": 32})
        settle(rig, timeout_s=60)
        empty = rig.redis.info("memory")["used_memory"]
        submit_many(client, image, first)
        settle(rig, timeout_s=600)
        before = memory(rig)
        submit_many(client, image, jobs - first)
        settle(rig, timeout_s=1800)
        after = memory(rig)
        time.sleep(scaled(0, progress.ENDED_S + 5))  # idle
        grown = {name: (after[name] - before[name]) / 2**20 for name in before}
        per_job = (rig.redis.info("memory")["used_memory"] - empty) / jobs
        print(f"\nRedis {per_job:.0f} B a job (bound 1000); memory grown by MiB {grown} (bound 20)")
        eternal = {key.decode().partition(".")[0] for key in rig.redis.scan_iter() if rig.redis.ttl(key) == -1}
        assert eternal <= {"_kombu", "unacked", "unacked_index", "unacked_mutex", "atelier"}
        assert not [key for key in rig.redis.scan_iter("atelier:*") if rig.redis.ttl(key) == -1]
        assert per_job <= scaled(10_000, 1000)
        assert max(grown.values()) <= 20


def submit_many(client: Client, image: str, count: int) -> None:
    for _ in range(count):
        client.submit(image, [image], preset="classic", params={"steps": 1, "size": 32})


def memory(rig: Rig) -> dict[str, int]:
    """Resident memory of every process, in bytes."""
    found = {}
    for name, process in rig.processes.items():
        for number, member in enumerate(process.family()):
            found[f"{name}/{number}"] = member.memory_info().rss
    return found


def opened_batch(client: Client, keys: list[str]) -> str:
    """Start a batch of small items and return its id."""
    image = client.upload(PNG).id
    batch = client.open_batch(style=image, preset="classic", params={"steps": 40, "size": 32}, reuse=False)
    client.add_items(batch.id, ({"key": key, "content": image} for key in keys))
    return client.control_batch(batch.id, "start").id


def test_a_database_that_is_away_is_told_and_comes_back_by_itself() -> None:
    with Rig(database="postgres", null_step_s=0.02) as rig, rig.client() as client, ExitStack() as opened:
        assert rig.postgres
        made = [rig.submit(client, steps=100) for _ in range(3)]
        rig.wait_running(made[0])
        batch_id = opened_batch(client, ["a", "b", "c"])
        feed = opened.enter_context(rig.client()).batch_results(batch_id, follow=True)
        results = opened.enter_context(ThreadPoolExecutor(1)).submit(lambda: [result.key for result in feed])
        rig.postgres.kill()
        impatient = Client(rig.urls[0], rig.key, sleep=lambda seconds: None)
        with pytest.raises(ApiProblem) as refused:
            impatient.job(made[0])
        assert (refused.value.status, refused.value.code) == (503, "database_unavailable")
        time.sleep(2)
        rig.postgres.start()
        settle(rig, timeout_s=60)
        verdict = judge(rig, made)
        assert (verdict.faults, verdict.states) == ([], {"succeeded": 6})
        assert sorted(results.result(60)) == ["a", "b", "c"]  # which followed the batch all the while
        impatient.close()
        assert psutil.pid_exists(rig.worker.pid)
