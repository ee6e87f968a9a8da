"""Permits shared between owners: many for one who is alone, and always one for another."""

import pytest

from shared.shares import Shares


def take_all(shares: Shares, owner: str) -> int:
    taken = 0
    while shares.take(owner):
        taken += 1
    return taken


@pytest.mark.parametrize(("total", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (512, 256), (1024, 512)])
def test_an_owner_takes_at_most_half(total, most) -> None:
    assert take_all(Shares(total), "greedy") == most


def test_whoever_comes_after_the_greedy_finds_some() -> None:
    shares = Shares(1024)
    assert [take_all(shares, owner) for owner in "abcdefghijk"] == [512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1]
    assert not shares.take("l"), "none is left"


def test_one_who_holds_more_than_its_share_gets_none_until_the_others_are_done() -> None:
    shares = Shares(8)
    assert (take_all(shares, "greedy"), take_all(shares, "modest")) == (4, 2)
    shares.give_back("greedy")
    assert not shares.take("greedy")
    shares.give_back("modest")
    shares.give_back("modest")
    assert shares.take("greedy")


def test_a_permit_is_held_no_longer_than_its_block() -> None:
    shares = Shares(1)
    with shares.permit("ann") as permitted, shares.permit("bob") as another:
        assert (permitted, another) == (True, False)
    assert (shares.held_by("ann"), shares.take("bob")) == (0, True)
