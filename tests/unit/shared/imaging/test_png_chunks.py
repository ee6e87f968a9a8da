"""PNG: ancillary chunks never spoil a picture, and say what they say; transparency holds at every depth."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from shared.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from tests.hostile.image_headers import chunk
from tests.support.picture_kinds import PICTURE
from tests.support.png_chunks import DISPLAY_P3, GREY, PALETTE, SRGB, chrm, cicp, damaged, gama, iccp, png, trns
from tests.support.sample_images import decode, inspect, profile_with_red_and_green_swapped, saved

_XMP = b"XML:com.adobe.xmp\0\1\0\0\0"
_NOISE = np.random.default_rng(0).bytes(2 * 2**20)

SPOILING = {
    "a wrong checksum of text": damaged(chunk(b"tEXt", b"Comment\0painted by hand")),
    "a wrong checksum of a profile": damaged(iccp(profile_with_red_and_green_swapped())),
    "a wrong checksum of a gamma": damaged(gama(1)),
    "a wrong checksum of the one transparent colour": damaged(trns(0, 0, 0)),
    "a wrong checksum of EXIF": damaged(chunk(b"eXIf", b"MM\0*")),
    "a profile of 2 MB": iccp(_NOISE),
    "a profile that unpacks to 200 MB": iccp(bytes(200 * 2**20)),
    "a profile that is none": chunk(b"iCCP", b"a\0\0no zlib"),
    "megabytes of compressed text": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b'{"nodes": []}' * 500_000)) * 3,
    "megabytes of international text": chunk(b"iTXt", _XMP + zlib.compress(_NOISE)),
    "megabytes of plain text": chunk(b"tEXt", b"prompt\0" + _NOISE.hex().encode()) * 2,
    "70 MB of compressed text": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 9), 9)) * 70,
    "text without an end": chunk(b"tEXt", b"no zero byte"),
    "chunks of unknown kinds": chunk(b"prVt", b"?") + chunk(b"vpAg", b"") + chunk(b"caNv", bytes(16)),
    "short chunks": chunk(b"gAMA", b"\0") + chunk(b"cHRM", b"\0") + chunk(b"cICP", b"\1") + chunk(b"pHYs", b"\0"),
    "a resolution of nothing": chunk(b"pHYs", bytes(9)),
    "animation that makes no sense": chunk(b"acTL", struct.pack(">II", 0, 0)) + chunk(b"fcTL", bytes(26)),
    "4,000 comments": chunk(b"tEXt", b"a\0b") * 4000,
}


@pytest.mark.parametrize("name", SPOILING)
def test_ancillary_chunks_never_spoil_a_picture(name) -> None:
    for data in (png(PICTURE, SPOILING[name]), png(PICTURE, after=SPOILING[name])):
        assert inspect(data, max_bytes=2**27).format == "png"
        decoded = decode(data)
        np.testing.assert_array_equal(np.rint(decoded.rgb * 255), PICTURE)
        assert decoded.alpha is None


def test_a_picture_whose_end_is_missing_is_whole() -> None:
    np.testing.assert_array_equal(np.rint(decode(png(PICTURE)[:-12]).rgb * 255), PICTURE)


@pytest.mark.parametrize("part", [b"IHDR", b"IDAT"])
def test_a_chunk_that_the_pixels_need_must_be_there_and_whole(part) -> None:
    data = png(PICTURE)
    at = data.index(part)
    for broken in (data.replace(part, b"abCd"), data[:at] + data[at:].replace(b"\0", b"\1", 1)):
        with pytest.raises(CorruptImage):
            inspect(broken)


def test_more_chunks_than_any_picture_has_are_refused() -> None:
    with pytest.raises(ImageTooLarge):
        inspect(png(PICTURE, chunk(b"tEXt", b"") * 140_000))


def test_the_data_may_come_in_many_chunks() -> None:
    data = png(PICTURE)
    at = data.index(b"IDAT") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    body = data[at + 8 : at + 8 + length]
    pieces = b"".join(chunk(b"IDAT", body[start : start + 10]) for start in range(0, length, 10))
    np.testing.assert_array_equal(np.rint(decode(data[:at] + pieces + data[at + 12 + length :]).rgb * 255), PICTURE)


#: What Chromium shows of a grey of 128, which tests/browser/test_picture_kinds.py has it prove.
GREYS = {"gamma of 1": (188, gama(1)), "gamma of 1/2": (137, gama(0.5)), "sRGB over gamma": (128, gama(1) + SRGB)}


@pytest.mark.parametrize("name", GREYS)
def test_grey_follows_the_gamma(name) -> None:
    expected, described = GREYS[name]
    grey = np.full((8, 8), 128, np.uint8)
    deep = grey.astype(np.uint16) * 257
    files = [png(grey, described, kind=GREY), png(deep, described, kind=GREY, depth=16)]
    files += [png(grey[..., None].repeat(3, 2), described), png(deep[..., None].repeat(3, 2), described, depth=16)]
    for data in files:
        np.testing.assert_allclose(decode(data).rgb * 255, expected, atol=1.01)


def test_the_gradient_of_a_linear_deep_grey_keeps_its_depth() -> None:
    ramp = np.linspace(0, 65_535, 4000).astype(np.uint16).reshape(40, 100)
    assert len(np.unique(decode(png(ramp, gama(1), kind=GREY, depth=16)).rgb[..., 0])) > 3000


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(transfer, name) -> None:
    with pytest.raises(UnsupportedImage, match=name):
        inspect(png(PICTURE, cicp(9, transfer)))


def test_the_order_is_cicp_profile_srgb_gamma() -> None:
    p3 = decode(png(PICTURE, cicp(12, 13))).rgb
    swapped = iccp(profile_with_red_and_green_swapped())
    np.testing.assert_array_equal(decode(png(PICTURE, gama(1), SRGB, swapped, cicp(12, 13))).rgb, p3)
    np.testing.assert_array_equal(decode(png(PICTURE, gama(1), SRGB, swapped)).rgb, decode(png(PICTURE, swapped)).rgb)
    np.testing.assert_array_equal(decode(png(PICTURE, gama(1), chrm(DISPLAY_P3), SRGB)).rgb, decode(png(PICTURE)).rgb)
    assert np.abs(p3 - decode(png(PICTURE)).rgb).max() > 0.05


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_one_transparent_grey_is_transparent_at_every_depth(depth) -> None:
    top = 2**depth - 1
    samples = np.arange(256).reshape(16, 16) * 257 * top // 65_535
    for hidden in {0, top // 2, top}:
        decoded = decode(png(samples, trns(hidden), kind=GREY, depth=depth))
        np.testing.assert_array_equal(decoded.alpha, samples != hidden)
        seen = decoded.alpha > 0
        np.testing.assert_allclose(decoded.rgb[seen][:, 0], samples[seen] / top, atol=1e-6)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_one_transparent_colour_is_transparent_at_every_depth(depth) -> None:
    samples = np.zeros((8, 8, 3), np.uint16)
    samples[:4] = (10, 20, 30) if depth == 8 else (0x0A01, 0x1402, 0x1E03)
    samples[0] = (10, 20, 31) if depth == 8 else (0x0A01, 0x1402, 0x1E04)  # the same in the upper byte
    alpha = decode(png(samples, trns(*map(int, samples[2, 0])), depth=depth)).alpha
    np.testing.assert_array_equal(alpha[:, 0], [1, 0, 0, 0, 1, 1, 1, 1])


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_opacity_of_a_palette_holds_at_every_depth(depth) -> None:
    samples = np.arange(64).reshape(8, 8) % 2**depth
    colours = chunk(b"PLTE", bytes(range(3 * 2 ** min(depth, 6))))
    alpha = decode(png(samples, colours, chunk(b"tRNS", b"\x80\0"), kind=PALETTE, depth=depth)).alpha
    expected = np.where(samples == 0, 128, np.where(samples == 1, 0, 255))
    np.testing.assert_allclose(alpha * 255, expected, atol=1e-4)


def test_a_picture_of_a_palette_without_opacity_stays_opaque() -> None:
    assert decode(saved(Image.fromarray(PICTURE).quantize(16))).alpha is None
