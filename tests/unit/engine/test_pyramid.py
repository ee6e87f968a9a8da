import itertools

import pytest

from shared.errors import InvalidParams
from shared.params import StyleParams
from worker.engine.pyramid import LEAST_PX, fitted, long_sides

SQUARE = [(100, 100, 3)]


@pytest.mark.parametrize(
    ("size", "start", "factor", "expected"),
    [
        (512, 0, 2**0.5, [512]),
        (512, 128, 2, [128, 256, 512]),
        (512, 128, 2**0.5, [128, 181, 256, 362, 512]),
        (384, 128, 3**0.5, [128, 222, 384]),
        (500, 128, 2, [128, 256, 500]),
        (96, 128, 2, [96]),
        (128, 128, 2, [128]),
    ],
)
def test_scales_grow_by_the_factor_and_end_at_the_size(
    size: int, start: int, factor: float, expected: list[int]
) -> None:
    assert long_sides(StyleParams(size=size, start_size=start, scale_factor=factor), SQUARE) == expected


@pytest.mark.parametrize("size", range(64, 700, 13))
def test_two_scales_are_never_almost_the_same(size: int) -> None:
    sides = long_sides(StyleParams(size=size, start_size=64, scale_factor=1.5), SQUARE)

    assert sides[-1] == size
    assert all(1.2 < larger / smaller < 1.9 for smaller, larger in itertools.pairwise(sides))


def test_a_narrow_picture_starts_at_a_scale_that_the_network_can_see() -> None:
    shape = (20, 300, 3)
    sides = long_sides(StyleParams(size=1000, start_size=64, scale_factor=2), [(100, 100, 3), shape])

    assert sides[0] == 240
    assert all(min(fitted(shape, side)) >= LEAST_PX for side in sides)


def test_a_picture_too_narrow_for_the_size_is_refused_with_the_least_size() -> None:
    with pytest.raises(InvalidParams) as error:
        long_sides(StyleParams(size=128), [(10, 300, 3)])

    assert error.value.fields["least"] == 480
    assert long_sides(StyleParams(size=480), [(10, 300, 3)]) == [480]
