"""TIFF: samples as the tags say, and the full page rather than a thumbnail."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from shared.errors import CorruptImage, UnsupportedImage
from tests.support.picture_kinds import ALPHA, PICTURE, held
from tests.support.sample_images import decode, inspect
from tests.support.tiff_pages import BLACK_IS_ZERO, DEFLATE, MASK, REDUCED, WHITE_IS_ZERO, Page, tiff

_RAMP = np.tile(np.linspace(0, 1, 97), (20, 1))  # an odd width, so that rows of 12 bits end within a byte
_DTYPES = {1: np.uint8, 2: np.uint8, 4: np.uint8, 8: np.uint8, 12: np.uint16, 16: np.uint16, 32: np.uint32}
_FULL, _THUMBNAIL = Page(PICTURE, 8), Page(PICTURE[::4, ::4], 8, {254: REDUCED})
_RAW = Page(PICTURE[..., 0].astype(np.uint16), 16, {254: 0, 262: 32803})


@pytest.mark.parametrize("compression", [1, DEFLATE])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize("bits", _DTYPES)
def test_grey_is_dark_to_light_in_every_depth(bits, photometric, order, compression) -> None:
    shares = 1 - _RAMP if photometric == WHITE_IS_ZERO else _RAMP
    samples = np.rint(shares * (2**bits - 1)).astype(_DTYPES[bits])
    data = tiff(Page(samples, bits, {262: photometric, 259: compression}), order=order)
    assert inspect(data).format == "tiff"
    np.testing.assert_allclose(decode(data).rgb[..., 0], _RAMP, atol=0.51 / (2**bits - 1) + 1.1e-5)


@pytest.mark.parametrize("order", ["<", ">"])
def test_black_stays_below_half_of_a_white_that_is_not_reached(order) -> None:
    half = (_RAMP * 2**31).astype(np.uint32)
    np.testing.assert_allclose(decode(tiff(Page(half, 32), order=order)).rgb[..., 0], _RAMP / 2, atol=1e-4)


@pytest.mark.parametrize("compression", [1, DEFLATE])
@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_in_floats_is_decoded(order, compression) -> None:
    data = tiff(Page(_RAMP.astype(np.float32), 32, {259: compression}), order=order)
    np.testing.assert_allclose(decode(data).rgb[..., 0], _RAMP, atol=1e-6)
    inverted = tiff(Page((1 - _RAMP).astype(np.float32), 32, {259: compression, 262: WHITE_IS_ZERO}), order=order)
    np.testing.assert_allclose(decode(inverted).rgb[..., 0], _RAMP, atol=1e-6)


@pytest.mark.parametrize("compression", [1, DEFLATE])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_signed_grey_is_white_at_its_largest_number_or_at_65535(bits, order, compression) -> None:
    white = min(2 ** (bits - 1) - 1, 65_535)
    samples = np.rint(_RAMP * white).astype(f"i{bits // 8}")
    samples[0] = -1  # below black
    data = tiff(Page(samples, bits, {259: compression}), order=order)
    rgb = decode(data).rgb[..., 0]
    np.testing.assert_allclose(rgb[1:], _RAMP[1:], atol=0.51 / white)
    assert not rgb[0].any()


def _in_planes(image: Image.Image, bits: int, **options: object) -> bytes:
    samples = np.asarray(image).astype(np.uint16) * 257 if bits == 16 else np.asarray(image)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.moveaxis(samples, -1, 0).copy(), planarconfig="separate", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("layout", [{}, {"tile": (32, 32)}, {"rowsperstrip": 7}], ids=["whole", "tiles", "strips"])
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_channels_may_lie_one_after_the_other(mode, bits, order, compression, layout) -> None:
    image = held(transparent=mode == "RGBA").image.convert(mode)
    options = {"RGBA": {"extrasamples": ["unassalpha"]}}.get(mode, {})
    photometric = "separated" if mode == "CMYK" else "rgb"
    data = _in_planes(
        image, bits, photometric=photometric, byteorder=order, compression=compression, **layout, **options
    )
    rgb, alpha = decode(data)
    visible = np.asarray(image.getchannel("A")) > 0 if mode == "RGBA" else np.s_[:]
    np.testing.assert_array_equal(np.rint(rgb * 255)[visible], PICTURE[visible])
    assert (alpha is None) == (mode != "RGBA")
    if alpha is not None:
        np.testing.assert_array_equal(np.rint(alpha * 255), ALPHA)


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize(("mode", "photometric"), [("LA", "minisblack"), ("YCbCr", "ycbcr")])
def test_other_channels_one_after_the_other_are_refused_by_name(mode, photometric, compression) -> None:
    options = {"extrasamples": ["unassalpha"]} if mode == "LA" else {}
    image = held(transparent=mode == "LA").image.convert(mode)
    with pytest.raises(UnsupportedImage, match="in planes"):
        inspect(_in_planes(image, 8, photometric=photometric, compression=compression, **options))


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (Page((PICTURE / 255).astype(np.float32), 32), "3 floating-point samples of 32 bits"),
        (Page((PICTURE / 255).astype(np.float16), 16), "3 floating-point samples of 16 bits"),
        (Page(_RAMP.astype(np.float64), 64), "1 floating-point samples of 64 bits"),
        (Page(PICTURE.astype(np.uint32), 32), "3 unsigned samples of 32 bits"),
        (Page(PICTURE[..., :2], 8), "2 unsigned samples of 8 bits"),
    ],
)
def test_what_cannot_be_decoded_is_named_and_not_called_damaged(page, told) -> None:
    with pytest.raises(UnsupportedImage, match=told):
        inspect(tiff(page))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "pages",
    [
        (_THUMBNAIL, _FULL),
        (_THUMBNAIL, _THUMBNAIL, _FULL),
        (_THUMBNAIL._replace(nested=(_FULL,)),),
        (Page(PICTURE[..., 0], 8, {254: MASK}), _FULL),
        (_FULL, _THUMBNAIL),
        (_FULL._replace(nested=(_THUMBNAIL,)),),
        (Page(PICTURE, 8, {254: 2}), Page(PICTURE[::-1], 8, {254: 2})),  # pages of a document
    ],
)
def test_the_full_page_is_taken_wherever_it_is(pages, order, big) -> None:
    data = tiff(*pages, order=order, big=big)
    if big and order == ">":  # which Pillow does not read
        with pytest.raises(UnsupportedImage, match="BigTIFF"):
            inspect(data)
        return
    assert (inspect(data).width, inspect(data).height) == (96, 64)
    np.testing.assert_array_equal(np.rint(decode(data).rgb * 255), PICTURE)


def test_a_compressed_full_page_is_found_too() -> None:
    data = tiff(_THUMBNAIL, Page(PICTURE, 8, {259: DEFLATE}))
    np.testing.assert_array_equal(np.rint(decode(data).rgb * 255), PICTURE)


@pytest.mark.parametrize(
    "pages",
    [
        (_THUMBNAIL._replace(nested=(_RAW,)),),  # as in NEF and DNG
        (Page(PICTURE, 8, {50706: 1}),),
        (_THUMBNAIL, _RAW),
        (_RAW,),
    ],
)
def test_a_cameras_raw_file_is_refused_by_name(pages) -> None:
    with pytest.raises(UnsupportedImage, match="raw file"):
        inspect(tiff(*pages))


def test_a_thumbnail_alone_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedImage, match="reduced"):
        inspect(tiff(_THUMBNAIL))


def test_a_directory_that_ends_too_soon_is_damaged() -> None:
    whole = tiff(_FULL)
    for end in (len(whole) - 4, len(whole) - 30):
        with pytest.raises(CorruptImage):
            inspect(whole[:end])
