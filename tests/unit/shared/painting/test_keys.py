"""Which jobs can be painted in one optimization."""

from typing import Any

import pytest

from shared.painting.keys import group_key, group_limit
from shared.painting.params import StyleParams, resolve
from shared.painting.sizes import fit_long_side, long_sides, scale_sizes

STYLES = ({"image": "sha256:a", "weight": 1.0},)
SIZE = (600, 800)


def params(**overrides: Any) -> StyleParams:
    return resolve("balanced", {"size": 256, **overrides})


def key(content=SIZE, styles=STYLES, weights=None, init_id=None, **overrides: Any) -> str | None:
    return group_key(params(**overrides), list(styles), content, weights, init_id)


def test_jobs_of_one_request_share_a_key_that_fits_its_column() -> None:
    assert key() == key() is not None
    assert len(key()) <= 64


def test_contents_of_one_ratio_share_a_key_whatever_their_size() -> None:
    assert key((600, 800)) == key((1200, 1600))


@pytest.mark.parametrize(
    "other",
    [
        {"steps": 51},
        {"seed": 1},
        {"timelapse": 10},
        {"content": (800, 600)},
        {"content": (601, 800), "size": 640, "start_size": 0},
        {"weights": "imagenet"},
        {"styles": ({"image": "sha256:b", "weight": 1.0},)},
        {"styles": ({"image": "sha256:a", "weight": 2.0},)},
        {"styles": STYLES * 2},
    ],
)
def test_whatever_differs_makes_another_group(other) -> None:
    assert key(**other) != key()


def test_contents_that_differ_by_a_pixel_on_the_way_are_in_different_groups() -> None:
    one, other = (600, 990), (609, 990)
    assert fit_long_side(one, 99) == fit_long_side(other, 99)
    assert fit_long_side(one, 67) != fit_long_side(other, 67)
    assert key(one, size=99, start_size=0) == key(other, size=99, start_size=0) is not None
    scales = {"size": 99, "start_size": 50, "scale_factor": 1.1}
    assert key(one, **scales) != key(other, **scales)


@pytest.mark.parametrize(
    "alone",
    [
        {"init_id": "sha256:c"},
        {"styles": ({**STYLES[0], "mask": "sha256:m"},)},
        {"early_stop": 0.01},
        {"tile_size": 64},
        {"size": 1024},
        {"content": (20, 2000)},
        {"content": (6000, 8000)},
    ],
    ids=str,
)
def test_a_job_that_would_not_gain_or_not_be_the_same_goes_alone(alone) -> None:
    assert key(**alone) is None


@pytest.mark.parametrize("colors", ["style", "luminance", "match"])
def test_whose_colours_are_kept_is_no_reason_to_go_alone(colors) -> None:
    assert key(colors=colors) is not None


@pytest.mark.parametrize(
    ("size", "content", "most"), [(64, SIZE, 16), (256, SIZE, 10), (512, SIZE, 2), (64, (3000, 4000), 5)]
)
def test_a_key_says_how_many_fit_together(size, content, most) -> None:
    assert group_limit(key(content, size=size)) == most


def test_the_sizes_are_those_that_the_content_passes_through() -> None:
    sizes = scale_sizes(params(), SIZE)
    assert sizes == [fit_long_side(SIZE, side) for side in long_sides(params(), SIZE)]
    assert sizes[-1] == (192, 256)
