import pytest

from worker.engine.image_group import improved_enough

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(("before", "after"), [(100.0, 99.0), (1.0, 0.5), (1e-9, 0.0), (1e12, 9.8e11)])
def test_a_fall_by_the_fraction_is_enough_whatever_the_size_of_the_loss(before: float, after: float) -> None:
    assert improved_enough(before, after, 0.01)


@pytest.mark.parametrize(("before", "after"), [(100.0, 99.5), (1.0, 1.0), (1.0, 2.0), (0.0, 0.0), (1e12, 9.95e11)])
def test_a_smaller_fall_is_not_enough(before: float, after: float) -> None:
    assert not improved_enough(before, after, 0.01)


@pytest.mark.parametrize(("before", "after"), [(INF, 1.0), (NAN, 1.0), (1.0, NAN), (1.0, -INF), (INF, INF)])
def test_a_loss_that_is_not_finite_is_no_improvement(before: float, after: float) -> None:
    assert not improved_enough(before, after, 0.01)
