import numpy as np
import pytest

from worker.engine.pictures.colors import (
    match_colors,
    match_histograms,
    match_luminance,
    restore_colors,
    to_grey,
)
from worker.engine.types import Picture

LUMA = [0.299, 0.587, 0.114]
FLAT = np.full((5, 4, 3), [0.2, 0.5, 0.7], np.float32)


def coloured(height: int, width: int, seed: int) -> Picture:
    """A picture of correlated colours, near the middle of the range so that nothing is clipped."""
    rng = np.random.default_rng(seed)
    mix = 0.05 * np.eye(3) + rng.normal(0, 0.02, (3, 3))
    noise = np.clip(rng.normal(size=(height, width, 3)), -2, 2)
    return (noise @ mix + rng.uniform(0.45, 0.55, 3)).astype(np.float32)


def statistics(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    rows = picture.reshape(-1, 3).astype(np.float64)
    return rows.mean(axis=0), np.cov(rows.T, bias=True)


def test_a_matched_style_has_the_mean_and_the_covariance_of_the_content() -> None:
    style, content = coloured(40, 30, 1), coloured(25, 50, 2)

    result = match_colors(style, content)

    assert result.shape == style.shape
    assert result.dtype == np.float32
    for found, expected in zip(statistics(result), statistics(content), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("change", [match_colors, match_luminance])
def test_a_flat_style_takes_the_mean_of_the_content(change) -> None:
    content = coloured(20, 20, 3)
    expected = statistics(content)[0] if change is match_colors else np.full(3, statistics(content)[0] @ LUMA)

    np.testing.assert_allclose(change(FLAT, content), np.broadcast_to(expected, FLAT.shape), atol=1e-6)


@pytest.mark.parametrize(
    "change", [match_colors, match_luminance, lambda style, content: restore_colors(content, style[:1, :1])]
)
def test_one_pixel_is_an_image_too(change) -> None:
    pixel = np.float32([[[0.1, 0.6, 0.3]]])

    assert np.isfinite(change(coloured(9, 9, 4), pixel)).all()
    np.testing.assert_allclose(match_colors(pixel, FLAT)[0, 0], FLAT[0, 0], atol=1e-6)


def test_a_grey_content_makes_the_style_grey() -> None:
    content = to_grey(coloured(30, 30, 5))

    result = match_colors(coloured(20, 20, 6), content)

    np.testing.assert_allclose(result, to_grey(result), atol=1e-5)
    assert result.std() == pytest.approx(content.std(), rel=1e-3)


def test_a_grey_style_stays_finite_and_keeps_to_the_range() -> None:
    content = np.random.default_rng(7).uniform(size=(30, 30, 3)).astype(np.float32)

    result = match_colors(to_grey(coloured(20, 20, 8)), content)

    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("picture", [coloured(20, 20, 9), to_grey(coloured(20, 20, 9)), FLAT])
def test_a_style_that_is_the_content_is_unchanged(picture: Picture) -> None:
    np.testing.assert_allclose(match_colors(picture, picture), picture, atol=1e-5)
    np.testing.assert_allclose(match_luminance(picture, picture), to_grey(picture), atol=1e-5)
    np.testing.assert_allclose(restore_colors(picture, picture), picture, atol=1e-6)


def test_a_style_matched_by_histograms_has_those_of_the_content() -> None:
    style = coloured(40, 50, 21)
    content = np.float32(np.random.default_rng(22).beta(0.4, 0.6, (50, 40, 3)))

    result = match_histograms(style, content)

    for channel in range(3):
        found, expected = (np.sort(each[..., channel], axis=None) for each in (result, content))
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_equal_values_stay_equal_when_histograms_are_matched() -> None:
    assert np.ptp(match_histograms(FLAT, coloured(20, 20, 23)), axis=(0, 1)).max() == 0


def test_grey_is_the_luma_of_rec_601() -> None:
    colours = np.float32([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]])

    np.testing.assert_allclose(to_grey(colours)[0, :, 1], [*LUMA, 1], atol=1e-6)
    np.testing.assert_array_equal(to_grey(colours)[..., 0], to_grey(colours)[..., 2])


def test_a_grey_style_takes_the_mean_and_deviation_of_the_contents_luminance() -> None:
    style, content = coloured(40, 30, 10), coloured(25, 50, 11)

    result = match_luminance(style, content)

    np.testing.assert_array_equal(result[..., 0], result[..., 2])
    assert result.mean() == pytest.approx((content @ np.float32(LUMA)).mean(), abs=1e-6)
    assert result[..., 0].std() == pytest.approx((content @ np.float32(LUMA)).std(), abs=1e-6)


def test_restored_colours_have_the_luminance_of_one_image_and_the_chroma_of_the_other() -> None:
    to_yiq = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    painted, content = coloured(20, 30, 12), coloured(20, 30, 13)

    result = restore_colors(painted, content) @ to_yiq.T

    np.testing.assert_allclose(result[..., 0], (painted @ to_yiq.T)[..., 0], atol=1e-6)
    np.testing.assert_allclose(result[..., 1:], (content @ to_yiq.T)[..., 1:], atol=1e-5)


def test_bright_colours_are_clipped() -> None:
    red, white = np.float32([[[1, 0, 0]]]), np.ones((1, 1, 3), np.float32)

    np.testing.assert_allclose(restore_colors(white, red), [[[1, 0.701, 0.701]]], atol=1e-6)
