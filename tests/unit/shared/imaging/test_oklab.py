"""Oklab: its published values, and mixing in it."""

import numpy as np
import pytest

from shared.imaging import oklab


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (0.628, 0.225, 0.126)),
        ((0, 1, 0), (0.866, -0.234, 0.179)),
        ((0, 0, 1), (0.452, -0.032, -0.312)),
    ],
)
def test_the_primaries_have_their_published_values(rgb, lab) -> None:
    np.testing.assert_allclose(oklab.from_srgb(np.float32(rgb)), lab, atol=1e-3)


def test_there_and_back_again_is_the_same_colour() -> None:
    rgb = np.random.default_rng(1).random((40, 50, 3), np.float32)
    np.testing.assert_allclose(oklab.to_srgb(oklab.from_srgb(rgb)), rgb, atol=1e-4)


def test_a_mix_of_greys_is_grey_and_half_as_light() -> None:
    black, white = np.zeros((2, 2, 3), np.float32), np.ones((2, 2, 3), np.float32)
    mixed = oklab.blend(black, white, 0.5)
    assert np.ptp(mixed, axis=-1).max() < 1e-3
    np.testing.assert_allclose(oklab.from_srgb(mixed)[..., 0], 0.5, atol=1e-3)


@pytest.mark.parametrize(("share", "chosen"), [(0, 0), (1, 1)])
def test_all_of_one_image_is_that_image_bit_for_bit(share, chosen) -> None:
    pair = np.random.default_rng(2).random((2, 9, 7, 3), np.float32)
    np.testing.assert_array_equal(oklab.blend(*pair, share), pair[chosen])
