import itertools

import pytest

from shared.errors import InvalidParams
from shared.painting.params import MIN_SIDE_PX, StyleParams
from shared.painting.sizes import fit_long_side, long_sides, steps_by_scale, style_long_side, work

SQUARE = (100, 100)


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
    shape = (20, 300)
    sides = long_sides(StyleParams(size=1000, start_size=64, scale_factor=2), SQUARE, [shape])

    assert sides[0] == 240
    assert all(min(fit_long_side(shape, side)) >= MIN_SIDE_PX for side in sides)


def test_a_picture_too_narrow_for_the_size_is_refused_with_the_least_size() -> None:
    with pytest.raises(InvalidParams) as error:
        long_sides(StyleParams(size=128), (10, 300))

    assert error.value.fields["least"] == 480
    assert long_sides(StyleParams(size=480), (10, 300)) == [480]


def test_size_0_is_the_contents_own() -> None:
    assert long_sides(StyleParams(size=0), (333, 250)) == [333]


@pytest.mark.parametrize("scale", [0.1, 0.35, 0.5, 2.0])
def test_a_style_made_small_is_never_narrower_than_the_network_sees(scale: float) -> None:
    style = (50, 130)
    params = StyleParams(size=2000, start_size=64, style_scale=scale)

    first = long_sides(params, SQUARE, [style])[0]

    assert min(fit_long_side(style, style_long_side(first, scale))) >= MIN_SIDE_PX


def test_a_picture_that_is_no_picture_is_refused_and_a_panorama_painted() -> None:
    for shape in ((1, 400), (2, 2000)):
        with pytest.raises(InvalidParams):
            long_sides(StyleParams(size=512), shape)
    assert long_sides(StyleParams(size=64), (1, 1)) == [64]
    assert min(fit_long_side((40, 400), long_sides(StyleParams(size=512), (40, 400))[0])) >= MIN_SIDE_PX


def test_work_is_the_pixels_of_each_scale_times_its_steps() -> None:
    params = StyleParams(size=256, start_size=64, scale_factor=2, steps=10)

    assert work(params, (400, 200)) == 10 * (64 * 32 + 128 * 64 + 256 * 128)
    assert work(params.model_copy(update={"steps": 30}), (400, 200)) == 3 * work(params, (400, 200))
    assert work(params.model_copy(update={"coarse_steps_factor": 0.5}), (400, 200)) == (
        5 * (64 * 32 + 128 * 64) + 10 * 256 * 128
    )


def test_every_scale_takes_at_least_one_step() -> None:
    assert steps_by_scale(StyleParams(steps=25, coarse_steps_factor=2), 3) == [50, 50, 25]
    assert steps_by_scale(StyleParams(steps=1, coarse_steps_factor=0.1), 2) == [1, 1]
    assert steps_by_scale(StyleParams(steps=7, coarse_steps_factor=4), 1) == [7]
