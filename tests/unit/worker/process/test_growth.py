import pytest

from worker.process.growth import Growth

MB = 10**6


def test_what_is_held_after_the_first_picture_is_warm_however_much_that_is() -> None:
    growth = Growth(100 * MB)

    assert [growth.is_over(held * MB) for held in (900, 1000, 950, 1001)] == [False, False, False, True]
    assert growth.numbers == {"warm_bytes": 900 * MB, "held_bytes": 1001 * MB, "limit_bytes": 100 * MB}


def test_an_unknown_number_is_neither_warm_nor_growth() -> None:
    growth = Growth(100 * MB)

    assert [growth.is_over(held * MB) for held in (0, 500, 0, 600, 601)] == [False, False, False, False, True]


@pytest.mark.parametrize("held", [10**9, 10**15])
def test_without_a_limit_any_growth_is_allowed(held: int) -> None:
    growth = Growth(0)
    growth.is_over(1)

    assert not growth.is_over(held)
