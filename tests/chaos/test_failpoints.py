"""Every failpoint in turn: a process dies there, and nothing is stuck or half-made afterwards."""

import re
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.client import Client
from api.client.models import ApiProblem, Unreachable
from shared.imaging import codec
from tests.chaos.rig import PNG, Rig
from tests.chaos.scale import LONG
from tests.chaos.verdict import judge, settle
from tests.support.factories import picture
from tests.support.waiting import wait_until

pytestmark = pytest.mark.chaos

ROOT = Path(__file__).parents[2]
#: Which processes of the rig can come to it.
COMMITS = {
    "upload": "api",
    "submit": "api",
    "cancel": "api",
    "dispatch": "maintenance",
    "end_leases": "maintenance",
    "expire": "maintenance",
    "forget": "maintenance",
    "beat": "worker",
    "claim": "worker",
    "renew": "worker",
    "checkpoint": "worker",
    "finish": "worker",
    "take": "worker",
    "leave": "worker",
}
FILES = {"images": "api", "checkpoint": "worker", "result": "worker", "losses": "worker", "manifest": "worker"}
POINTS = {
    **{f"{when}_commit_{name}": kind for name, kind in COMMITS.items() for when in ("before", "after")},
    **{
        f"{when}_{name}": kind
        for name, kind in FILES.items()
        for when in ("before_write", "before_rename", "after_rename")
    },
    "before_publish": "api",
    "after_publish": "api",
}
#: One statement, repeated by a person, a chore or a thread.
REPEATED = {
    "about",
    "instruct",
    "pause_queue",
    "resume_queue",
    "unhold",
    "unsend",
    "operator_key",
    "create_key",
    "open_batch",
    "discard_batch",
    "transition_batch",
    "change_batch",
    "retry_failed",
    "add_items",
    "start_operation",
    "stop_operation",
    "strength",
}
REPEATED |= {"revoke_key", "delete", "rotate_secret", "webhook_secret", "test_webhook", "redeliver"}
#: Begun again by the next sweep or the next claim, which the tests of the sweeps and of the deliveries prove.
SWEPT = {
    "cancel_items",
    "fold",
    "settle",
    "expire_files",
    "expire_images",
    "forget_images",
    "remove_bytes",
    "advance_operation",
    "deliver",
    "delivered",
    "postponed",
    "readings",
}
ELSEWHERE = REPEATED | SWEPT
#: One of each kind of place, for every test run.
SHORT = ["after_commit_submit", "after_commit_claim", "before_commit_finish", "before_rename_result", "after_publish"]


def test_every_place_named_in_the_code_is_tried() -> None:
    code = "\n".join(path.read_text() for room in ("api", "shared", "worker") for path in (ROOT / room).rglob("*.py"))
    named = set(re.findall(r'writing\((?:[\w.()]+, )?\s*"(\w+)"', code))
    assert named == set(COMMITS) | ELSEWHERE
    assert len(POINTS) >= 25


@pytest.mark.parametrize("point", POINTS if LONG else SHORT)
def test_a_process_that_dies_there_leaves_nothing_stuck_or_half_made(point: str) -> None:
    with Rig(lease_s=3.0, checkpoint_s=0.0, null_step_s=0.05, stall_s=4.0) as rig:
        spent = rig.home / "spent"
        arm(rig, point, spent)
        ids = provoke(rig, point)
        wait_until(spent.exists, f"{point} is reached", timeout_s=60)
        settle(rig, timeout_s=120)
        verdict = judge(rig, ids)
        assert verdict.faults == []
        assert verdict.states.get("succeeded", 0) >= 1


def arm(rig: Rig, point: str, spent: Path) -> None:
    """Start the processes of that kind again, with the failpoint set."""
    for name, process in list(rig.processes.items()):
        if name.startswith(POINTS[point]):
            process.wanted = False
            process.kill()
            process._env |= {"ATELIER_FAILPOINT": f"{point}:exit", "ATELIER_FAILPOINT_SPENT": str(spent)}
            process.start()
    if POINTS[point] != "worker":
        rig.wait_ready()


def provoke(rig: Rig, point: str) -> list[str]:
    """Have everything happen that can: uploads, jobs that end, are canceled, expire, hang, are lost, are forgotten."""
    with rig.client() as client:
        accepted = [patiently(client, steps=80) for _ in range(2)]
        patiently(client, start_by=datetime(2020, 1, 1, tzinfo=UTC))
        canceled = patiently(client, steps=400)
        with suppress(ApiProblem, Unreachable):
            client.cancel(canceled)
        with suppress(ApiProblem, Unreachable):
            client.cancel(canceled)
    worker = rig.worker
    least = 30 if point.endswith("_take") else 0  # the parent must have seen the child at work
    wait_until(lambda: worker.exit_code is not None or begun(rig, accepted, least), "a job is begun", timeout_s=60)
    worker.signal(signal.SIGKILL, worker.painters())
    if point.endswith("_leave"):
        wait_until(lambda: len(rig.ready_workers()) == 1, "the worker is known")
        worker.terminate()
        worker.start()
    return [*accepted, canceled]


def begun(rig: Rig, job_ids: list[str], step: int) -> bool:
    jobs = [rig.job(job_id) for job_id in job_ids]
    return any(job.attempt > 0 and (job.progress or {}).get("step", 0) >= step for job in jobs)


def patiently(client: Client, **values: object) -> str:
    """Submit until it is accepted, with a picture of its own."""
    png = codec.encode(picture(seed=int(time.monotonic() * 1000) % 2**31), format="png")
    deadline = time.monotonic() + 60
    params = {"steps": values.pop("steps", 4), "size": 32}
    while True:
        try:
            return client.submit(png, [PNG], preset="classic", params=params, **values).id
        except (ApiProblem, Unreachable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
