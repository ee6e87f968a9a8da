"""Every kind of pixel shows the same picture: depth, alpha, palettes, inks and profiles."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.sample_images import (
    NOISE,
    QUARTERS,
    UPRIGHT,
    decode,
    inspect,
    profile_with_red_and_green_swapped,
    quarters,
    saved,
)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("P", "PNG"),
        ("RGB", "PNG"),
        ("1", "TIFF"),
        ("L", "TIFF"),
        ("P", "TIFF"),
        ("CMYK", "TIFF"),
        ("YCbCr", "TIFF"),
        ("LAB", "TIFF"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("L", "WEBP"),
    ],
)
def test_every_mode_shows_the_same_picture(mode, kind) -> None:
    black_and_white = Image.fromarray(QUARTERS[..., :1].repeat(3, axis=2))
    converted = _in_lab(black_and_white) if mode == "LAB" else black_and_white.convert(mode)
    data = saved(converted, kind)
    assert inspect(data).width == 64
    rgb, alpha = decode(data)
    assert alpha is None
    np.testing.assert_allclose(rgb, np.asarray(black_and_white) / 255, atol=0.02)


def _in_lab(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return ImageCms.applyTransform(image, transform)


def test_cmyk_shows_its_colours() -> None:
    for kind in ("JPEG", "TIFF"):
        assert quarters(decode(saved(Image.fromarray(QUARTERS).convert("CMYK"), kind)).rgb) == UPRIGHT


RAMP = np.linspace(0, 65535, 64 * 40).reshape(40, 64).astype(np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_depth(kind) -> None:
    rgb = decode(saved(Image.fromarray(RAMP), kind)).rgb
    np.testing.assert_allclose(rgb[..., 0], RAMP / 65535, atol=1e-6)
    assert len(np.unique(rgb)) > 2000
    assert (rgb[..., 0] == rgb[..., 2]).all()


def test_sixteen_bit_grey_keeps_its_one_transparent_value() -> None:
    data = saved(Image.fromarray(RAMP), "PNG", transparency=int(RAMP[0, 5]))
    alpha = decode(data).alpha
    assert alpha[0, 5] == 0
    assert alpha.sum() == alpha.size - 1


def test_big_endian_sixteen_bit_tiff_is_read_in_its_own_order() -> None:
    pixels = RAMP.astype(">u2")
    image = Image.frombytes("I;16B", (64, 40), pixels.tobytes())
    np.testing.assert_allclose(decode(saved(image, "TIFF")).rgb[..., 0], RAMP / 65535, atol=1e-6)


@pytest.mark.parametrize(
    ("pixels", "white"),
    [
        (RAMP.astype(np.int32), 65535),
        (RAMP.astype(np.int32) * 1000, 65535000),
        ((RAMP / 65535).astype(np.float32), 1),
        ((RAMP / 65535 * 3).astype(np.float32), 3),
        (-RAMP.astype(np.float32), None),
    ],
)
def test_deep_tiff_is_scaled_by_its_nominal_white_or_by_its_brightest_pixel(pixels, white) -> None:
    rgb = decode(saved(Image.fromarray(pixels), "TIFF")).rgb
    np.testing.assert_allclose(rgb[..., 1], pixels / white if white else 0, atol=1e-5)


def test_pixels_that_are_not_numbers_become_black() -> None:
    pixels = (RAMP / 65535).astype(np.float32)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    rgb = decode(saved(Image.fromarray(pixels), "TIFF")).rgb
    assert np.isfinite(rgb).all()
    assert (rgb[0, :3] == 0).all()


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("LA", "TIFF")]
)
def test_alpha_is_kept(mode, kind) -> None:
    image = Image.fromarray(NOISE).convert("L").convert(mode)
    alpha = NOISE[..., 0]
    image.putalpha(Image.fromarray(alpha))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    decoded = decode(saved(image, kind, **options))
    np.testing.assert_array_equal(np.rint(decoded.alpha * 255), alpha)
    seen = alpha > 0
    np.testing.assert_array_equal(np.rint(decoded.rgb * 255)[seen], np.asarray(image.convert("RGB"))[seen])


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_the_one_transparent_colour_of_a_png_becomes_alpha(mode) -> None:
    image = Image.fromarray(QUARTERS).convert(mode)
    data = saved(image, "PNG", transparency=image.getpixel((0, 0)))
    alpha = decode(data).alpha
    assert alpha[0, 0] == 0
    assert alpha[-1, -1] == 1


def test_an_upright_alpha_lies_on_its_colours() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.rot90(np.dstack([QUARTERS, QUARTERS[..., :1]]), 1)
    stored[..., 3] = np.maximum(stored[..., 3], 1)  # or the colours beneath would be others
    rgb, alpha = decode(saved(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif))
    np.testing.assert_array_equal(alpha, np.maximum(rgb[..., 0], np.float32(1 / 255)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_embedded_profile_is_obeyed(kind) -> None:
    data = saved(Image.fromarray(QUARTERS), kind, icc_profile=profile_with_red_and_green_swapped())
    rgb = decode(data).rgb
    np.testing.assert_allclose(rgb[5, 5], (0, 1, 0), atol=0.02)
    np.testing.assert_allclose(rgb[5, 60], (1, 0, 0), atol=0.02)
    np.testing.assert_allclose(rgb[-5, -5], (1, 1, 1), atol=0.02)


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_a_profile_is_obeyed_in_palettes_and_beside_alpha(mode) -> None:
    data = saved(Image.fromarray(QUARTERS).convert(mode), icc_profile=profile_with_red_and_green_swapped())
    np.testing.assert_allclose(decode(data).rgb[5, 5], (0, 1, 0), atol=0.02)


@pytest.mark.parametrize("profile", [b"not a profile", profile_with_red_and_green_swapped()[:200], b"\0" * 400])
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_a_broken_profile_is_ignored(profile, mode) -> None:
    image = Image.fromarray(QUARTERS).convert(mode)
    rgb = decode(saved(image, "TIFF", icc_profile=profile)).rgb
    np.testing.assert_allclose(rgb, np.asarray(image.convert("RGB")) / 255, atol=1e-6)


def linear_grey_profile() -> bytes:
    """The smallest profile for grey whose levels are proportional to light."""
    white = b"XYZ " + struct.pack(">4x3i", 63190, 65536, 54061)
    curve = b"curv" + struct.pack(">4xI", 0)
    head = struct.pack(">I4sI4s4s4s12s4s28x3i48x", 128 + 28 + 32, b"", 0x02400000, b"mntr", b"GRAY", b"XYZ ", bytes(12),
                       b"acsp", 63190, 65536, 54061)  # fmt: skip
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, 20, b"kTRC", 176, 12)
    return head + tags + white + curve


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_profile_for_grey_is_obeyed(mode) -> None:
    image = Image.new("L", (8, 8), 128).convert(mode)
    rgb = decode(saved(image, "PNG", icc_profile=linear_grey_profile())).rgb
    np.testing.assert_allclose(rgb * 255, 188, atol=2)


def test_lab_shows_its_colours() -> None:
    rgb = decode(saved(_in_lab(Image.fromarray(QUARTERS)), "TIFF")).rgb
    np.testing.assert_allclose(rgb, QUARTERS / 255, atol=0.1)  # eight bits of LAB hold no more


def test_a_profile_for_other_pixels_is_ignored() -> None:
    grey = Image.fromarray(QUARTERS[..., 0])
    rgb = decode(saved(grey, "PNG", icc_profile=profile_with_red_and_green_swapped())).rgb
    np.testing.assert_array_equal(rgb[..., 1], QUARTERS[..., 0] / np.float32(255))
