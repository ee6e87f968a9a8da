"""Who may work, who waits for its peer meanwhile, and who is ended when too many do."""

import threading
from collections.abc import Callable

import pytest

from api.serving.places import Places
from tests.support.waiting import wait_until

_TIMEOUT_S = 30.0


class Slow:
    """A peer that is waited for in a thread until it is released or ended."""

    def __init__(self, places: Places, address: str = "a", debt_s: float = 0.0) -> None:
        self.address, self.debt_s = address, debt_s
        self.entered, self.ready, self.back, self.leaves = (threading.Event() for _ in range(4))
        self.was_ended = False
        self._places = places
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> "Slow":
        assert self._places.enter()
        self._thread.start()
        assert self.entered.wait(_TIMEOUT_S)
        return self

    def end_wait(self) -> None:
        self.was_ended = True
        self.ready.set()

    def finish(self) -> None:
        self.ready.set()
        self.leaves.set()
        self._thread.join(_TIMEOUT_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        with self._places.aside(self):
            self.entered.set()
            self.ready.wait(_TIMEOUT_S)
        self.back.set()
        self.leaves.wait(_TIMEOUT_S)
        self._places.leave()


@pytest.fixture
def freed() -> list[bool]:
    """One entry for each time that a place became free."""
    return []


@pytest.fixture
def make(freed) -> Callable[[int, int], Places]:
    return lambda places, most_waiting: Places(places, most_waiting, lambda: freed.append(True))


def test_there_are_as_many_places_as_were_made(make, freed) -> None:
    places = make(2, 8)
    assert [places.enter() for _ in range(3)] == [True, True, False]
    places.leave()
    assert freed == [True]
    assert places.enter()


def test_a_request_that_waits_for_its_peer_gives_its_place_back(make, freed) -> None:
    places = make(1, 8)
    peers = [Slow(places).start() for _ in range(8)]
    assert len(freed) >= 8
    assert places.enter()
    places.leave()
    for peer in peers:
        peer.finish()
    assert places.enter()
    assert not places.enter()


def test_who_comes_back_goes_before_who_is_new(make) -> None:
    places = make(1, 8)
    peer = Slow(places).start()
    assert places.enter()
    peer.ready.set()
    wait_until(lambda: places._returning, "it wants its place back")
    assert not peer.back.is_set()
    places.leave()
    assert not places.enter()
    assert peer.back.wait(_TIMEOUT_S)
    peer.finish()


def test_one_wait_too_many_ends_the_peer_that_is_furthest_behind(make) -> None:
    places = make(9, 3)
    late, later, new = (Slow(places, debt_s=debt_s).start() for debt_s in (3.0, 5.0, 0.0))
    assert not late.was_ended
    newest = Slow(places).start()
    assert (late.was_ended, later.was_ended, new.was_ended, newest.was_ended) == (False, True, False, False)
    for peer in (late, later, new, newest):
        peer.finish()


def test_the_address_with_the_most_waits_loses_one(make) -> None:
    places = make(9, 3)
    honest = Slow(places, "honest", debt_s=9.0).start()
    crowd = [Slow(places, "crowd", debt_s=debt_s).start() for debt_s in (1.0, 2.0, 0.0)]
    assert not honest.was_ended
    assert [peer.was_ended for peer in crowd] == [False, True, False]
    for peer in (honest, *crowd):
        peer.finish()


def test_a_stop_ends_all_waits(make) -> None:
    places = make(2, 8)
    peers = [Slow(places).start() for _ in range(2)]
    places.end_waits()
    assert all(peer.was_ended for peer in peers)
    for peer in peers:
        peer.finish()
