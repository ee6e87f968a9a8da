"""Images that are whole: described, turned upright, decoded once, encoded again."""

import io

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from shared.imaging import codec
from shared.imaging.formats.recognition import MEDIA_TYPES
from tests.support.sample_images import (
    NOISE,
    QUARTERS,
    STORED,
    UPRIGHT,
    decode,
    inspect,
    profile_with_red_and_green_swapped,
    quarters,
    saved,
)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"big_tiff": True}),
    ],
)
def test_each_of_our_formats_is_described_and_decoded(kind, options) -> None:
    data = saved(Image.fromarray(QUARTERS), kind, **options)
    assert inspect(data) == codec.ImageInfo(64, 40, kind.lower(), len(data))
    assert MEDIA_TYPES[inspect(data).format] == f"image/{kind.lower()}"
    rgb, alpha = decode(data)
    assert rgb.dtype == np.float32
    assert rgb.shape == (40, 64, 3)
    assert quarters(rgb) == UPRIGHT
    assert alpha is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_turned_upright(orientation, kind) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(np.ascontiguousarray(STORED[orientation](QUARTERS))), kind, exif=exif)
    info = inspect(data)
    assert (info.width, info.height) == (64, 40)
    rgb = decode(data).rgb
    assert rgb.shape == (40, 64, 3)
    assert quarters(rgb) == UPRIGHT


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01"]
)
def test_a_broken_exif_block_says_nothing_of_the_pixels(exif) -> None:
    data = saved(Image.fromarray(QUARTERS), "JPEG", exif=exif)
    assert (inspect(data).width, inspect(data).height) == (64, 40)
    assert quarters(decode(data).rgb) == UPRIGHT


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_only_exif_says_how_a_picture_is_turned(kind) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    options = {"tiffinfo": {700: xmp}} if kind == "TIFF" else {"xmp": xmp}
    data = saved(Image.fromarray(QUARTERS), kind, **options)
    assert (inspect(data).width, inspect(data).height) == (64, 40)
    assert quarters(decode(data).rgb) == UPRIGHT


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_upright(orientation) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(QUARTERS), "JPEG", exif=exif)
    assert (inspect(data).width, decode(data).rgb.shape) == (64, (40, 64, 3))


def test_a_phones_picture_with_a_second_one_inside_is_a_jpeg() -> None:
    data = saved(Image.fromarray(QUARTERS), "MPO", save_all=True, append_images=[Image.fromarray(NOISE)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert (inspect(data).format, inspect(data).width) == ("jpeg", 64)
    assert quarters(decode(data).rgb) == UPRIGHT


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})])
def test_only_the_first_frame_of_an_animation_counts(kind, options) -> None:
    others = [Image.new("RGB", (64, 40), name) for name in ("black", "gray")]
    data = saved(Image.fromarray(QUARTERS), kind, save_all=True, append_images=others, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert inspect(data).format == kind.lower()
    assert quarters(decode(data).rgb) == UPRIGHT


def test_inspection_decodes_once(monkeypatch) -> None:
    decoded = []
    whole = JpegImagePlugin.JpegImageFile.load_end
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load_end", lambda self: decoded.append(whole(self)))
    inspect(saved(Image.fromarray(QUARTERS), "JPEG"))
    assert len(decoded) == 1


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_an_encoded_picture_comes_back(kind) -> None:
    smooth = np.repeat(np.linspace(0, 1, 96, dtype=np.float32)[None, :, None], 64, axis=0).repeat(3, axis=2)
    data = codec.encode(smooth, format=kind)
    assert inspect(data).format == kind
    np.testing.assert_allclose(decode(data).rgb, smooth, atol=0.5 / 255 if kind == "png" else 0.03)


def test_encoding_rounds_to_the_nearest_level_and_clips() -> None:
    levels = np.float32([[-1, 0.4 / 255, 0.6 / 255, 254.6 / 255, 7]])
    rgb = decode(codec.encode(levels[..., None].repeat(3, axis=2), format="png")).rgb
    np.testing.assert_array_equal(np.rint(rgb[0, :, 0] * 255), [0, 0, 1, 255, 255])


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_alpha_is_encoded(kind) -> None:
    alpha = NOISE[..., 0].astype(np.float32) / 255
    data = codec.encode(NOISE.astype(np.float32) / 255, alpha, format=kind)
    np.testing.assert_allclose(decode(data).alpha, alpha, atol=1e-6)


def test_jpeg_shows_what_is_transparent_as_white() -> None:
    data = codec.encode(np.zeros((16, 16, 3), np.float32), np.zeros((16, 16), np.float32), format="jpeg")
    assert (decode(data).rgb > 0.99).all()


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_nothing_of_the_inputs_metadata_is_written(kind) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    source = saved(
        Image.fromarray(QUARTERS),
        "JPEG",
        exif=exif,
        comment=b"secret",
        icc_profile=profile_with_red_and_green_swapped(),
    )
    written = Image.open(io.BytesIO(codec.encode(*decode(source), format=kind)))
    assert dict(written.getexif()) == {}
    assert not {"icc_profile", "exif", "comment", "xmp"} & set(written.info)


@pytest.mark.parametrize(("shape", "expected"), [((40, 64), (20, 32)), ((64, 40), (32, 20)), ((3000, 2), (32, 1))])
def test_a_thumbnail_fits_and_keeps_its_shape(shape, expected) -> None:
    assert codec.thumbnail(np.ones((*shape, 3), np.float32), 32).shape == (*expected, 3)


def test_a_small_picture_is_its_own_thumbnail() -> None:
    picture = np.ones((20, 32, 3), np.float32)
    assert codec.thumbnail(picture, 32) is picture
