"""A painting process that has grown makes way for another between two jobs, and no job notices."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from api.client import Client
from shared.db.jobs import queries
from tests.chaos.rig import Rig
from tests.support.waiting import wait_until

pytestmark = pytest.mark.chaos

#: What a worker says when something went wrong.
FAULTS = ("WorkerLostError", "child_without_job", "child_died", "worker_starved", "Timed out", "Traceback")
#: Jobs that are enough for two replacements: nearly every message adds a few pages.
MOST_JOBS = 40


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(null_step_s=0.01, child_growth_bytes=1, redispatch_after_s=60.0) as made:
        yield made


def replaced(rig: Rig) -> int:
    """How many children came after the first."""
    return rig.worker.log().count('"worker_ready"') - 1


def catch_the_worker_without_a_child(rig: Rig, client: Client) -> None:
    """Have jobs painted until a child leaves, and return before its successor is there."""
    for _ in range(MOST_JOBS):
        rig.wait_state(rig.submit(client, steps=2), "succeeded")
        with suppress(AssertionError):  # not every child leaves, and one may have been replaced before the look
            wait_until(lambda: not rig.worker.painters(), "the child has left", timeout_s=2, every_s=0.005)
            return
    pytest.fail(f"no child was missed within {MOST_JOBS} jobs")


def history(rig: Rig, job_id: str) -> list[str]:
    with rig.database.reading() as session:
        return [event.name for event in queries.list_events(session, job_id)]


def test_each_job_has_one_attempt_though_its_worker_has_several_children(rig) -> None:
    job_ids = []
    with rig.client() as client:
        while replaced(rig) < 2 and len(job_ids) < MOST_JOBS:
            job_ids += [rig.submit(client, steps=2) for _ in range(3)]
            for job_id in job_ids[-3:]:
                rig.wait_state(job_id, "succeeded")

    jobs = [rig.job(job_id) for job_id in job_ids]
    log = rig.worker.log()
    assert replaced(rig) >= 2
    assert {(job.attempt, job.lost_attempts, job.retries) for job in jobs} == {(1, 0, 0)}
    assert all(history(rig, job_id).count("job_claimed") == 1 for job_id in job_ids)
    assert [fault for fault in FAULTS if fault in log] == []
    assert log.count('"reason": "growth"') in {replaced(rig), replaced(rig) + 1}  # the last may have left just now
    assert rig.worker.deaths == 0


@pytest.mark.parametrize("children", [0, 1], ids=["none", "one that starts"])
def test_a_worker_that_ends_during_a_replacement_ends_in_time_and_loses_nothing(rig, children) -> None:
    with rig.client() as client:
        catch_the_worker_without_a_child(rig, client)
        job_id = rig.submit(client, steps=2)
        wait_until(lambda: len(rig.worker.painters()) >= children, "its successor starts", every_s=0.01)

        assert rig.worker.terminate(30) == 0

        rig.worker.start()
        rig.wait_state(job_id, "succeeded")
    assert (rig.job(job_id).attempt, rig.job(job_id).lost_attempts) == (1, 0)
