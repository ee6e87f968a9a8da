"""How long a peer may keep a thread waiting: the sum counts, less what it moves."""

import pytest

from api.serving.pace import BYTES_PER_S, Pace
from tests.support.clocks import Clock


@pytest.fixture
def pace(clock) -> Pace:
    return Pace(20.0, clock=clock)


def wait(pace: Pace, clock: Clock, seconds: float, moved: int = 0) -> None:
    with pace.waiting():
        clock.now += seconds
    pace.moved(moved)


def test_a_silent_peer_is_out_of_time_after_the_stall(pace, clock) -> None:
    assert pace.left_s == 20
    wait(pace, clock, 15)
    assert pace.left_s == 5
    wait(pace, clock, 6)
    assert pace.left_s == 0


def test_a_peer_that_dribbles_is_out_of_time_little_later(pace, clock) -> None:
    while pace.left_s:
        wait(pace, clock, 1, moved=10)
    assert 20 <= clock.now <= 21


def test_a_peer_that_keeps_the_least_rate_is_never_out_of_time(pace, clock) -> None:
    for _ in range(1000):
        wait(pace, clock, 10, moved=10 * BYTES_PER_S)
    assert pace.left_s == 20


def test_a_fast_start_buys_no_time_to_stall(pace, clock) -> None:
    wait(pace, clock, 1, moved=10**9)
    wait(pace, clock, 20)
    assert pace.left_s == 0


def test_the_servers_own_time_is_free(pace, clock) -> None:
    clock.now += 1000
    assert pace.left_s == 20


def test_a_wait_counts_while_it_lasts(pace, clock) -> None:
    with pace.waiting():
        clock.now += 3
        assert pace.debt_s == 3
    assert pace.debt_s == 3
