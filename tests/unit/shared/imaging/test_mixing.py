"""A painted picture mixed with its photograph: its colours, its opacity, its size and the memory that it takes."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from shared.errors import ImageTooLarge
from shared.imaging import codec, mixing, oklab, opening
from shared.imaging.mixing import Mix
from tests.support.factories import picture
from tests.support.sample_images import (
    MAX_PX,
    QUARTERS,
    STORED,
    UPRIGHT,
    decode,
    profile_with_red_and_green_swapped,
    quarters,
    saved,
)

PAINTED = picture(40, 30, seed=1)


def mixed(photograph: bytes, strength: float, *, painted=PAINTED, alpha=None, **options) -> codec.Decoded:
    data = codec.encode(painted, alpha, format="png")
    return decode(codec.recode(data, **{"format": "png"} | options, mix=Mix(photograph, strength, MAX_PX)))


def test_none_of_the_painting_is_the_photograph_and_half_is_between_in_oklab() -> None:
    photograph = picture(40, 30, seed=2)
    data = codec.encode(photograph, format="png")
    assert np.abs(mixed(data, 0).rgb - photograph).max() <= 0.51 / 255
    expected = oklab.blend(photograph, PAINTED, 0.5)
    assert np.abs(mixed(data, 0.5).rgb - expected).max() <= 2 / 255
    assert np.abs(mixed(data, 0.5).rgb - (photograph + PAINTED) / 2).max() > 5 / 255


def test_bands_do_not_show(monkeypatch) -> None:
    data = codec.encode(picture(40, 30, seed=2), format="png")
    whole = mixed(data, 0.3).rgb
    monkeypatch.setattr(mixing, "_BAND_PX", 40 * 7)
    assert np.array_equal(mixed(data, 0.3).rgb, whole)


def test_the_opacity_is_that_of_the_painting() -> None:
    alpha = np.repeat(np.float32([[0, 1]]), 20, axis=1).repeat(30, axis=0)
    photograph = saved(Image.new("RGBA", (40, 30), (200, 100, 50, 128)))
    rgb, found = mixed(photograph, 0, alpha=alpha)
    assert np.array_equal(found, alpha)
    assert np.rint(rgb[0, 30] * 255).tolist() == [200, 100, 50]


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_turned_photograph_is_upright_and_fits(orientation, kind) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph = saved(Image.fromarray(np.ascontiguousarray(STORED[orientation](QUARTERS))), kind, exif=exif)
    height, width = QUARTERS.shape[0] // 2, QUARTERS.shape[1] // 2
    rgb = mixed(photograph, 0, painted=picture(width, height)).rgb
    assert quarters(rgb) == UPRIGHT


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.full((60, 80), 0x8000, np.uint16)), (128, 128, 128)),
        (Image.new("L", (80, 60), 77), (77, 77, 77)),
        (Image.new("LA", (20, 15), (77, 9)), (77, 77, 77)),
        (Image.new("RGB", (80, 60), (9, 200, 90)).quantize(4), (9, 200, 90)),
        (Image.new("1", (80, 60), 1), (255, 255, 255)),
    ],
    ids=["16-bit", "grey", "grey with alpha", "palette", "bitmap"],
)
def test_every_kind_of_photograph_is_mixed(image, expected) -> None:
    rgb = mixed(saved(image), 0).rgb * 255
    assert rgb.shape == (30, 40, 3)
    assert np.abs(rgb - expected).max() <= 2


def test_a_profile_is_applied() -> None:
    red = saved(Image.new("RGB", (80, 60), (255, 0, 0)), icc_profile=profile_with_red_and_green_swapped())
    assert np.abs(mixed(red, 0).rgb * 255 - (0, 255, 0)).max() <= 2


def test_a_mix_is_made_smaller_and_on_white_where_it_is_jpeg() -> None:
    alpha = np.zeros((30, 40), np.float32)
    rgb, found = mixed(codec.encode(PAINTED, format="png"), 0.5, alpha=alpha, format="jpeg", max_side=20)
    assert (rgb.shape, found) == ((15, 20, 3), None)
    assert rgb.min() > 0.98


def test_a_photograph_beyond_the_bound_is_refused() -> None:
    data = codec.encode(PAINTED, format="png")
    with pytest.raises(ImageTooLarge):
        codec.recode(data, format="png", mix=Mix(data, 0.5, max_px=100))


def test_a_large_mix_takes_no_floats_of_the_whole() -> None:
    painted, photograph = (Image.new("RGB", (4000, 1500), (level, 20, 30)) for level in (10, 12))
    tracemalloc.start()
    try:
        mixing.mix_into(painted, photograph, 0.5)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000  # as floats, one of the two takes 72 MB
    finally:
        tracemalloc.stop()
    assert np.abs(np.asarray(painted, np.int16) - (11, 20, 30)).max() <= 1


def test_uploads_and_results_wait_in_one_order(monkeypatch) -> None:
    monkeypatch.setattr(opening, "_LARGE_PX", 0)
    data = codec.encode(PAINTED, format="png")
    assert Image.open(io.BytesIO(codec.recode(data, format="webp", mix=Mix(data, 0.5, MAX_PX)))).size == (40, 30)
