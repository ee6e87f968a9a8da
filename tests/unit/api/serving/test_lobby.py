"""The connections that wait: whose time is over, and who is closed first."""

import pytest

from api.serving.lobby import Lobby, Wait


@pytest.fixture
def lobby(clock) -> Lobby:
    return Lobby({Wait.END: 2.0, Wait.HEAD: 10.0, Wait.REQUEST: 75.0}, clock=clock)


def expire(lobby: Lobby) -> list[object]:
    found = []
    for connection in lobby.expired():
        lobby.discard(connection)
        found.append(connection)
    return found


def test_each_kind_has_its_time(lobby, clock) -> None:
    for name, wait in [("idle", Wait.REQUEST), ("slow", Wait.HEAD), ("ended", Wait.END)]:
        lobby.add(name, wait)
    assert lobby.next_in_s() == 2
    for now, expected in [(1, []), (2, ["ended"]), (9, []), (10, ["slow"]), (74, []), (75, ["idle"])]:
        clock.now = now
        assert expire(lobby) == expected
    assert lobby.next_in_s() == float("inf")


def test_another_wait_replaces_the_first(lobby, clock) -> None:
    lobby.add("a", Wait.REQUEST)
    clock.now = 70
    lobby.add("a", Wait.HEAD)
    assert lobby.wait_of("a") is Wait.HEAD
    clock.now = 79
    assert expire(lobby) == []
    clock.now = 80
    assert expire(lobby) == ["a"]


def test_room_is_made_by_the_oldest_that_is_missed_least(lobby) -> None:
    assert lobby.oldest() is None
    for number in range(2):
        for wait in (Wait.REQUEST, Wait.HEAD, Wait.END):
            lobby.add(f"{wait.name} {number}", wait)
    found = []
    while (oldest := lobby.oldest()) is not None:
        found.append(oldest)
        lobby.discard(oldest)
    assert found == ["END 0", "END 1", "HEAD 0", "HEAD 1", "REQUEST 0", "REQUEST 1"]


def test_a_stop_leaves_all_of_them_little_time(lobby, clock) -> None:
    lobby.add("idle", Wait.REQUEST)
    lobby.close_within(2.0)
    lobby.add("slow", Wait.HEAD)
    clock.now = 2
    assert sorted(expire(lobby)) == ["idle", "slow"]
