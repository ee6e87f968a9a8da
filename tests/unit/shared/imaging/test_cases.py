"""Files that people really had, handed with what is right for each; skipped where they are not at hand."""

from pathlib import Path

import numpy as np
import pytest

from shared.errors import UnsupportedImage
from tests.support.sample_images import decode

_CASES = Path(__file__).resolve().parents[5] / "shared" / "cases"

pytestmark = pytest.mark.skipif(not _CASES.is_dir(), reason="The cases are not beside this checkout.")


def colours(name: str) -> np.ndarray:
    return decode((_CASES / name).read_bytes()).rgb


@pytest.mark.parametrize("name", ["badcrc-text.png", "thumb-first.tif"])
def test_the_gradient_is_dark_to_light_red_above_and_blue_below(name) -> None:
    rgb = colours(name)
    assert rgb.shape == (64, 96, 3)
    assert (np.diff(rgb[2, :, 0]) >= 0).all()
    assert rgb[2, 0, 0] < 0.05 < 0.95 < rgb[2, -1, 0]


def test_grey_whose_zero_is_white_is_dark_on_the_left() -> None:
    rgb = colours("grey16-miniswhite.tif")
    assert rgb[:, 0].max() < 0.05
    assert rgb[:, -1].min() > 0.95


def test_colours_in_floats_are_no_damage() -> None:
    with pytest.raises(UnsupportedImage, match="floating-point"):
        colours("rgb-float32.tif")


def test_a_linear_grey_is_as_bright_as_in_a_browser() -> None:
    assert colours("gama-linear.png")[:, 47:49, 0].mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["grey4-white-transparent.png", "rgb16-transparent.png"])
def test_the_transparent_half_is_transparent(name) -> None:
    alpha = decode((_CASES / name).read_bytes()).alpha
    assert set(np.unique(alpha)) == {0, 1}
    assert alpha.mean() == 0.5


def test_two_styles_that_look_alike_are_decoded_alike() -> None:
    black, white = (decode((_CASES / f"style-hides-{hidden}.png").read_bytes()) for hidden in ("black", "white"))
    assert black.rgb.tobytes() == white.rgb.tobytes()
    assert black.alpha.tobytes() == white.alpha.tobytes()
