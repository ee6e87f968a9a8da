"""One probe a second, shared by all who ask."""

import threading

import pytest

from api.usecases.readiness import Readiness
from shared.errors import StorageUnavailable
from shared.messaging.chores import BrokenTasks
from shared.messaging.progress import RedisProgress
from tests.support.fakes import MemoryImageStore


class Probed(MemoryImageStore):
    """A store that counts its checks and may hold them up or refuse them."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0
        self.refuses = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def check(self, size_bytes: int = 5) -> None:
        self.checks += 1
        assert self.may_go_on.wait(20)
        if self.refuses:
            raise StorageUnavailable


@pytest.fixture
def probed() -> Probed:
    return Probed()


@pytest.fixture
def readiness(database, probed, redis) -> Readiness:
    times = {"now": 100.0}
    made = Readiness(database, probed, RedisProgress(redis), BrokenTasks(redis), clock=lambda: times["now"])
    made.times = times  # type: ignore[attr-defined] # for the tests to move on
    return made


def test_within_a_second_nothing_is_probed_again(readiness, probed) -> None:
    assert [readiness.get().state for _ in range(5)] == ["ready"] * 5
    probed.refuses = True
    readiness.times["now"] += 0.9
    assert (readiness.get().state, probed.checks) == ("ready", 1)
    readiness.times["now"] += 0.2
    assert (readiness.get().state, probed.checks) == ("unavailable", 2)


def test_all_who_ask_at_once_share_a_probe(readiness, probed) -> None:
    probed.may_go_on.clear()
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(readiness.get().state)) for _ in range(20)]
    for thread in threads:
        thread.start()
    probed.may_go_on.set()
    for thread in threads:
        thread.join(20)
    assert (seen, probed.checks) == (["ready"] * 20, 1)
