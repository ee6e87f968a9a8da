"""Turns: what one owner asks for never holds up another."""

import threading
from collections.abc import Callable, Iterator

import pytest

from shared.errors import DecoderUnavailable
from shared.imaging.decoders.turns import FairTurns
from tests.support.waiting import wait_until


class Holder:
    """A thread that holds a turn until it is let go."""

    def __init__(self, turns: FairTurns, owner: str, order: list[str] | None = None) -> None:
        self.end = threading.Event()
        self.holds = threading.Event()
        self._turns, self._owner, self._order = turns, owner, [] if order is None else order
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._turns.turn(self._owner, wait_s=60):
            self._order.append(self._owner)
            self.holds.set()
            self.end.wait(60)

    def let_go(self) -> None:
        self.end.set()
        self._thread.join(60)


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    """Makes holders, all of which let go at the end."""
    holders: list[Holder] = []

    def made(*args) -> Holder:
        holders.append(Holder(*args))
        return holders[-1]

    yield made
    for holder in holders:
        holder.end.set()
    for holder in holders:
        holder.let_go()


def waiting(turns: FairTurns) -> int:
    with turns._lock:
        return sum(map(len, turns._waiting.values()))


def test_one_owner_never_holds_the_last_turn(hold) -> None:
    turns = FairTurns(3, per_owner=2, max_waiting=9)
    greedy = [hold(turns, "a") for _ in range(4)]
    wait_until(lambda: waiting(turns) == 2, "two wait")
    other = hold(turns, "b")
    assert other.holds.wait(60)
    assert sum(each.holds.is_set() for each in greedy) == 2


def test_the_next_turn_goes_to_the_owner_who_has_waited_longest(hold) -> None:
    turns, order = FairTurns(1, per_owner=1, max_waiting=9), []
    holders = [hold(turns, "a", order)]
    holders[0].holds.wait(60)
    for count, owner in enumerate(("a", "a", "a", "b", "c", "b"), 1):
        holders.append(hold(turns, owner, order))
        wait_until(lambda count=count: waiting(turns) == count, "it waits")
    for number in range(1, 7):
        holder = next(each for each in holders if each.holds.is_set() and not each.end.is_set())
        holder.let_go()
        wait_until(lambda number=number: len(order) == number + 1, "the next has its turn")
    assert order == ["a", "a", "b", "c", "a", "b", "a"]


def test_a_wait_is_bounded_and_leaves_nothing_behind(hold) -> None:
    turns = FairTurns(1, per_owner=1, max_waiting=9)
    first = hold(turns, "a")
    first.holds.wait(60)
    with pytest.raises(DecoderUnavailable, match="try again"), turns.turn("b", wait_s=0.01):
        pytest.fail("it had no turn")
    first.let_go()
    with turns.turn("b", wait_s=60), pytest.raises(DecoderUnavailable), turns.turn("b", wait_s=0.01):
        pytest.fail("there is but one")


def test_too_many_of_one_owner_are_refused_at_once_and_others_still_wait(hold) -> None:
    turns = FairTurns(1, per_owner=1, max_waiting=2)
    first = hold(turns, "a")
    first.holds.wait(60)
    for count in (1, 2):
        hold(turns, "a")
        wait_until(lambda count=count: waiting(turns) == count, "it waits")
    with pytest.raises(DecoderUnavailable, match="2 pictures of yours"), turns.turn("a", wait_s=60):
        pytest.fail("it had no turn")
    hold(turns, "b")
    wait_until(lambda: waiting(turns) == 3, "the other waits")


def test_a_turn_comes_back_after_an_error() -> None:
    turns = FairTurns(1, per_owner=1, max_waiting=2)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn("a", wait_s=60):
            raise ZeroDivisionError
