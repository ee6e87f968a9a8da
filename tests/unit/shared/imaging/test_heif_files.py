"""HEIC and AVIF: decoded as they were coded, refused by their boxes and coded headers."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from shared.errors import BlankImage, CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging.formats.boxes import read_items
from shared.imaging.formats.coded_sizes import av1_sizes
from tests.support import heif
from tests.support.heif import Item, box, coded, full_box, ispe, nclx
from tests.support.picture_kinds import ALPHA, PICTURE, p3_profile
from tests.support.png_chunks import cicp, png
from tests.support.sample_images import decode, inspect

_PLANES = [PICTURE[..., channel] for channel in (1, 2, 0)]


def avif(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", speed=10, max_threads=1, **options)
    return buffer.getvalue()


def tiled(columns: int = 3, rows: int = 2) -> bytes:
    """The picture in tiles of 32 px, as phones store theirs."""
    tiles = [
        coded([plane[32 * y : 32 * y + 32, 32 * x : 32 * x + 32] for plane in _PLANES], nclx(*heif.SRGB))
        for y in range(rows)
        for x in range(columns)
    ]
    described = bytes([0, 0, rows - 1, columns - 1]) + struct.pack(">HH", 32 * columns, 32 * rows)
    parts = {b"dimg": list(range(2, 2 + len(tiles)))}
    whole = Item(b"grid", described, [ispe(32 * columns, 32 * rows), nclx(*heif.SRGB)], parts)
    return heif.heif([whole, *tiles])


@pytest.mark.parametrize("data", [heif.picture(PICTURE), tiled()], ids=["whole", "tiles"])
def test_a_heic_is_decoded_as_it_was_coded(data) -> None:
    assert inspect(data).format == "heic"
    np.testing.assert_array_equal(np.rint(decode(data).rgb * 255), PICTURE)


def test_halved_chroma_and_grey_are_decoded() -> None:
    y = PICTURE[..., 0]
    neutral = np.full((32, 48), 128, np.uint8)
    for item in (coded([y, neutral, neutral], nclx(1, 13, 6)), coded([y], nclx(1, 13, 6))):
        rgb = decode(heif.heif([item])).rgb
        np.testing.assert_allclose(rgb * 255, y[..., np.newaxis].repeat(3, 2), atol=1)


def test_the_opacity_of_a_heic_is_kept() -> None:
    decoded = decode(heif.picture(PICTURE, alpha=ALPHA))
    np.testing.assert_array_equal(np.rint(decoded.alpha * 255), ALPHA)
    with pytest.raises(BlankImage):
        inspect(heif.picture(PICTURE, alpha=np.zeros_like(ALPHA)))


def test_the_size_of_a_turned_heic_is_that_of_the_upright_picture() -> None:
    info = inspect(heif.picture(np.rot90(PICTURE), *heif.turned(6)))
    assert (info.width, info.height) == (96, 64)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_every_brand_of_a_still_heic_is_known(brand) -> None:
    assert inspect(heif.heif([coded(_PLANES, nclx(*heif.SRGB))], brand=brand)).format == "heic"


def test_code_points_and_profiles_mean_what_they_mean_in_png() -> None:
    expected = decode(png(PICTURE, cicp(12, 13))).rgb
    profile = box(b"colr", b"prof", p3_profile())
    for item in (coded(_PLANES, nclx(12, 13, 0)), coded(_PLANES, nclx(*heif.SRGB), profile)):
        np.testing.assert_allclose(decode(heif.heif([item])).rgb, expected, atol=1.01 / 255)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(transfer, name) -> None:
    with pytest.raises(UnsupportedImage, match=name):
        inspect(heif.heif([coded(_PLANES, nclx(9, transfer, 0))]))
    still = avif(Image.fromarray(PICTURE))
    with pytest.raises(UnsupportedImage, match=name):
        inspect(still.replace(b"nclx\0\1\0\r", b"nclx\0\x09\0" + bytes([transfer])))


def test_an_avif_is_decoded_in_its_colours() -> None:
    data = avif(Image.fromarray(PICTURE), quality=100, subsampling="4:4:4")
    assert inspect(data).format == "avif"
    np.testing.assert_allclose(decode(data).rgb * 255, PICTURE, atol=4)
    wide = decode(data.replace(b"nclx\0\1\0\r", b"nclx\0\x0c\0\r")).rgb
    assert np.abs(wide - decode(png(PICTURE, cicp(12, 13))).rgb).mean() < 1 / 255


def test_of_a_sequence_the_still_picture_counts() -> None:
    frames = [Image.fromarray(np.ascontiguousarray(PICTURE[:, ::-1]))]
    data = avif(Image.fromarray(PICTURE), save_all=True, append_images=frames, duration=100)
    np.testing.assert_allclose(decode(data).rgb * 255, PICTURE, atol=25)
    assert inspect(data).format == "avif"


def test_the_coded_size_of_a_real_avif_is_read() -> None:
    for options in ({}, {"save_all": True, "append_images": [Image.fromarray(PICTURE)]}):
        data = avif(Image.fromarray(PICTURE), **options)
        items = read_items(data)
        at, length = items.by_number[items.primary].extents[0]
        assert set(av1_sizes(data[at : at + length])) == {(96, 64)}


@pytest.mark.parametrize("keep", [n / 10 for n in range(1, 10)])
def test_a_file_cut_short_is_refused(keep) -> None:
    for data in (heif.picture(PICTURE), tiled(), avif(Image.fromarray(PICTURE))):
        with pytest.raises((CorruptImage, UnsupportedImage)):
            decode(data[: max(30, int(len(data) * keep))])


def test_flipped_bytes_never_leak_another_kind_of_error() -> None:
    random, refused = np.random.default_rng(2), (CorruptImage, UnsupportedImage, ImageTooLarge, BlankImage)
    for whole in (tiled(), heif.picture(PICTURE[:16, :16]), avif(Image.fromarray(PICTURE))):
        for _ in range(100):
            data = np.frombuffer(whole, np.uint8).copy()
            data[random.integers(12, min(len(data), 900), 4)] = random.integers(0, 256, 4)
            try:
                decode(data.tobytes())
            except refused:
                continue


def test_another_coding_is_refused_by_name() -> None:
    item = Item(b"jpeg", b"", [ispe(8, 8), full_box(b"pixi", bytes([3, 8, 8, 8]))])
    with pytest.raises(UnsupportedImage, match="neither as HEVC nor as AV1"):
        inspect(heif.heif([item]))
