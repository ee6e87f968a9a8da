"""What a hostile picture does to its child, and what becomes of everybody else."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from shared.errors import CorruptImage, DecoderUnavailable, ImageTooLarge
from shared.imaging import codec
from shared.imaging.decoders import lane
from shared.imaging.decoders.lane import Task
from tests.support.factories import picture
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

PNG = codec.encode(picture(60, 40), format="png")


def about(decoders, owner: str, lane_name: str = "_small", *, reuse: bool = True) -> dict:
    """Have a child describe itself."""
    task = Task("inspect", {}, [b"about "], reuse=reuse)
    return getattr(decoders, lane_name).run(owner, task, lambda answer, _: answer.value)


def takes_pictures(decoders, owner: str = "b") -> bool:
    return decoders.inspect(PNG, owner=owner).width == 60


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE])
def test_a_picture_that_crashes_its_child_twice_is_refused_as_damaged(broken, number) -> None:
    with pytest.raises(CorruptImage, match="crashes"):
        broken.inspect(b"die %d" % number, owner="a")
    assert takes_pictures(broken)


def test_a_picture_under_which_child_after_child_is_killed_may_be_sent_again(broken) -> None:
    with pytest.raises(DecoderUnavailable) as raised:
        broken.inspect(b"die %d" % signal.SIGKILL, owner="a")
    assert raised.value.retryable
    assert takes_pictures(broken)


def test_a_picture_that_takes_too_much_time_is_refused_within_two_seconds_of_the_processor(broken) -> None:
    began = children_cpu_s()
    with pytest.raises(ImageTooLarge, match="time"):
        broken.inspect(b"loop ", owner="a")
    assert broken._client._process is not None
    assert children_cpu_s() - began < 2
    assert takes_pictures(broken)


def children_cpu_s() -> float:
    """Processor time of the fork servers of this process and of all that they have buried, in seconds."""
    total = 0.0
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def test_a_picture_that_takes_too_much_memory_is_refused(broken) -> None:
    with pytest.raises(ImageTooLarge, match="memory"):
        broken.inspect(b"hoard ", owner="a")
    assert takes_pictures(broken)


@pytest.mark.parametrize("text", [b"{}", b"[", b"x" * 2000, b'{"outcome": "done", "value": {"width": 1}}'])
def test_a_child_that_lies_is_ended_and_its_picture_refused(broken, text) -> None:
    with pytest.raises(CorruptImage):
        broken.inspect(b"lie " + text, owner="a")
    assert takes_pictures(broken)


def test_a_child_that_stands_still_is_ended_at_the_deadline(broken, monkeypatch) -> None:
    monkeypatch.setattr(lane, "_CLOCK_S", 1)
    monkeypatch.setattr(lane, "_CLOCK_PER_CPU", 0)
    with pytest.raises(DecoderUnavailable, match="stood still"):
        broken.inspect(b"stop ", owner="a")
    monkeypatch.undo()
    assert takes_pictures(broken)


def test_a_child_writes_no_file(broken, tmp_path) -> None:
    written = tmp_path / "written"
    with pytest.raises(CorruptImage):
        broken.inspect(b"write " + bytes(written), owner="a")
    assert not written.exists() or written.stat().st_size == 0


def test_a_child_has_one_thread_a_socket_and_nothing_of_ours(broken, monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_DATABASE_URL", "postgresql://user:password@host/db")
    broken.close()  # the next server takes the environment anew
    found = about(broken, "a")
    assert found["threads"] == 1
    assert found["files"] <= 5  # standard input, output and error, all of them /dev/null, the socket, and the listing
    assert json.loads(found["modules"]) == []
    assert {name for name in json.loads(found["environment"]) if name.startswith("ATELIER")} == set()


def test_a_child_decodes_for_one_owner_again_and_again_and_for_another_never(broken) -> None:
    pids = {owner: {about(broken, owner)["pid"] for _ in range(5)} for owner in ("p", "q", "r")}
    assert [len(each) for each in pids.values()] == [1, 1, 1]
    assert len(set.union(*pids.values())) == 3


def test_a_child_that_saw_anothers_picture_is_never_used_again(broken) -> None:
    pids = [about(broken, "p", reuse=False)["pid"] for _ in range(3)]
    assert len(set(pids)) == 3
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_no_more_children_live_than_are_allowed(broken) -> None:
    for owner in "stuvwxyz":
        takes_pictures(broken, owner)
    server = psutil.Process(broken._client._process.pid)
    assert len(broken._small.children()) <= 3
    assert len(server.children()) <= 5  # one for large pictures and one for mixes besides


def test_slow_pictures_of_one_owner_hold_up_no_other(broken, tmp_path) -> None:
    gate, ended = tmp_path / "gate", []

    def send() -> None:
        ended.append(broken.inspect(b"wait " + bytes(gate), owner="slow"))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: broken._small._busy == 2, "the slow ones are at work")
    assert takes_pictures(broken, "quick")
    assert ended == []
    gate.touch()
    for thread in threads:
        thread.join(120)
    assert len(ended) == 4


@pytest.mark.parametrize(("victim", "times"), [("child", 20), ("server", 4)])
def test_no_upload_is_lost_while_children_or_their_server_are_killed(broken, victim, times) -> None:
    takes_pictures(broken)
    ended, taken, errors = threading.Event(), [], []

    def send(owner: str) -> None:
        while not ended.is_set():
            try:
                taken.append(broken.inspect(b"sleep 0.02", owner=owner))
            except Exception as error:
                errors.append(error)

    def processes() -> list[psutil.Process]:
        server = broken._client._process
        with suppress(psutil.NoSuchProcess, AttributeError):
            found = psutil.Process(server.pid)
            return found.children() if victim == "child" else [found]
        return []

    threads = [threading.Thread(target=send, args=(owner,)) for owner in "ab"]
    for thread in threads:
        thread.start()
    for number in range(times):
        found = wait_until(processes, f"a {victim} lives")
        with suppress(psutil.NoSuchProcess):
            found[number % len(found)].kill()
        before = len(taken)
        wait_until(lambda before=before: len(taken) > before or errors, "the next picture is taken")
    ended.set()
    for thread in threads:
        thread.join(60)
    assert errors == []


_PARENT = """
import threading, time
from tests.integration.shared.imaging.decoders.conftest import LIMITS
from shared.imaging.decoders.fork_client import ForkClient
from shared.imaging.decoders.pool import Decoders
decoders = Decoders(LIMITS, ForkClient(program="tests.support.broken_decoders"))
threading.Thread(target=decoders.inspect, args=[b"sleep 600"], kwargs={"owner": "a"}, daemon=True).start()
while not decoders._small._busy or decoders._client._process is None:
    time.sleep(0.02)
print("ready", flush=True)
time.sleep(600)
"""


def test_children_die_with_their_parent_in_the_middle_of_a_picture() -> None:
    root = Path(__file__).parents[5]
    command, env = [sys.executable, "-c", _PARENT], {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as parent:
        assert parent.stdout.readline() == b"ready\n"
        below = psutil.Process(parent.pid)
        wait_until(lambda: len(below.children(recursive=True)) == 2, "the server and its child run")
        family = below.children(recursive=True)
        parent.kill()
        wait_until(lambda: not any(_lives(each) for each in family), "they have ended")


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def test_ctrl_c_in_the_terminal_does_not_reach_a_child(broken) -> None:
    takes_pictures(broken)
    assert os.getsid(broken._client._process.pid) != os.getsid(0)
    assert os.getsid(broken._small.children()[-1]) != os.getsid(0)
