"""Results as files: their depth, their colours, and what they keep of their photograph; read by others' readers."""

import io
import struct
import zlib

import numpy as np
import png
import pytest
import tifffile
from PIL import ExifTags, Image

from shared.errors import CorruptImage
from shared.imaging import codec, deep, metadata, saving
from shared.imaging.metadata import Kept
from shared.imaging.mixing import Mix
from tests.hostile.image_headers import chunk
from tests.support import heif
from tests.support.photographs import CAMERA, LATITUDE, LENS, PRIVATE, TAKEN, photograph
from tests.support.picture_kinds import PICTURE
from tests.support.sample_images import MAX_PX, decode

FORMATS = ("png", "jpeg", "webp", "tiff")
#: More levels than eight bits have, in each channel.
RAMP = np.linspace(0, 1, 60 * 50, dtype=np.float32).reshape(50, 60)
RGB = np.dstack([RAMP, RAMP[::-1], RAMP * 0.5])
ALPHA = np.ascontiguousarray(RAMP.T)


def read_png(data: bytes) -> np.ndarray:
    """Read a PNG by a reader that is not ours."""
    width, height, rows, info = png.Reader(bytes=data).read()
    return np.vstack([np.asarray(row) for row in rows]).reshape(height, width, info["planes"])


def read_tiff(data: bytes) -> np.ndarray:
    return tifffile.imread(io.BytesIO(data))


#: How ImageMagick names the text that holds an EXIF block.
_RAW = b"Raw profile type exif\0"
READERS = {"png": read_png, "tiff": read_tiff}


def kept(kind: str = "JPEG") -> Kept:
    found = metadata.read(photograph(kind))
    assert found is not None
    return found


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# -- depth


@pytest.mark.parametrize("alpha", [None, ALPHA])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_hold_what_the_engine_painted(kind, alpha) -> None:
    data = saving.recode(saving.encode(RGB, alpha, depth=16), format=kind)
    found = READERS[kind](data)
    expected = RGB if alpha is None else np.dstack([RGB, alpha_of_size()])
    assert found.dtype == np.uint16
    assert np.abs(found / 65535 - expected).max() <= 0.5 / 65535 + 1e-7
    assert len(np.unique(found[..., 0])) > 256


def alpha_of_size() -> np.ndarray:
    return np.asarray(Image.fromarray(ALPHA).resize((60, 50), Image.Resampling.BILINEAR), np.float32)


@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_eight_bits_have_at_most_256_levels(kind) -> None:
    found = READERS[kind](saving.recode(saving.encode(RGB), format=kind))
    assert found.dtype == np.uint8
    assert len(np.unique(found[..., 0])) <= 256
    assert np.abs(found / 255 - RGB).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("strength", [0.25, 0.75])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_sixteen_bits_stay_sixteen_when_they_are_mixed(kind, strength) -> None:
    mix = Mix(codec.encode(RGB[:, ::-1], format="png"), strength, MAX_PX)
    deep_one = READERS[kind](saving.recode(saving.encode(RGB, ALPHA, depth=16), format=kind, mix=mix))
    flat_one = READERS[kind](saving.recode(saving.encode(RGB, ALPHA), format=kind, mix=mix))
    assert len(np.unique(deep_one[..., 0])) > 256 >= len(np.unique(flat_one[..., 0]))
    assert np.abs(deep_one / 65535 - flat_one / 255).max() <= 3 / 255


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_formats_of_eight_bits_show_a_deep_result_as_a_flat_one(kind) -> None:
    found, flat = (decode(saving.recode(saving.encode(RGB, depth=depth), format=kind)).rgb for depth in (16, 8))
    assert np.abs(found - flat).max() <= 3 / 255


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_small_one_for_showing_has_eight_bits_and_nothing_else(kind, depth) -> None:
    small = saving.recode(saving.encode(RGB, depth=depth, kept=kept()), format=kind, max_side=30)
    image = opened(small)
    assert (image.size, dict(image.getexif()), image.info.get("icc_profile")) == ((30, 25), {}, None)
    assert CAMERA.encode() not in small


def test_a_wide_picture_is_written_strip_by_strip() -> None:
    rows = np.random.default_rng(0).random((700, 900, 3), np.float32)
    found = read_tiff(saving.recode(saving.encode(rows, depth=16), format="tiff"))
    assert np.array_equal(found, deep.from_floats(rows))


def test_what_is_damaged_or_anothers_is_refused() -> None:
    data = saving.encode(RGB, depth=16)
    for damaged in (data[:200], data[:-30], data.replace(b"IDAT", b"IDAX", 1)):
        with pytest.raises(CorruptImage):
            deep.read_png(damaged)


# -- colours


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_result_says_that_it_is_in_srgb(kind, depth) -> None:
    image = opened(saving.recode(saving.encode(RGB, depth=depth), format=kind))
    assert "srgb" in image.info if kind == "png" else "sRGB".encode("utf-16-be") in image.info["icc_profile"]


def test_equal_results_are_equal_bytes() -> None:
    for kind in FORMATS:
        assert len({saving.recode(saving.encode(RGB, depth=16), format=kind) for _ in range(2)}) == 1
    assert saving._srgb_profile() == saving.PROFILE
    assert saving.PROFILE[saving._DATE_AT] == bytes.fromhex("07d0 0001 0001 0000 0000 0000")


# -- metadata


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mix", [None, Mix(photograph(), 0.5, MAX_PX)])
def test_what_was_kept_is_there_in_every_format(kind, depth, mix) -> None:
    data = saving.recode(saving.encode(RGB, ALPHA, depth=depth, kept=kept()), format=kind, mix=mix)
    exif = opened(data).getexif()
    facts, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert (exif[ExifTags.Base.Model], exif[ExifTags.Base.Orientation]) == (CAMERA, 1)
    assert (facts[ExifTags.Base.DateTimeOriginal], facts[ExifTags.Base.LensModel]) == (TAKEN, LENS)
    assert float(facts[ExifTags.Base.ExposureTime]) == pytest.approx(1 / 250)
    assert float(facts[ExifTags.Base.ExposureBiasValue]) == pytest.approx(-1 / 3)
    assert tuple(map(float, place[ExifTags.GPS.GPSLatitude])) == LATITUDE
    assert (float(exif[ExifTags.Base.XResolution]), exif[ExifTags.Base.ResolutionUnit]) == (300, 2)
    assert kind == "webp" or opened(data).info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert not [secret for secret in PRIVATE if secret in data]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_not_asked_for_is_not_there_in_any_byte(kind, depth) -> None:
    data = saving.recode(saving.encode(RGB, depth=depth), format=kind, mix=Mix(photograph(), 0.5, MAX_PX))
    for secret in (CAMERA.encode(), LENS.encode(), TAKEN.encode(), b"Exif", b"eXIf", b"EXIF", b"pHYs", *PRIVATE):
        assert secret not in data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_metadata_is_read_of_every_format(kind) -> None:
    found = kept(kind)
    assert found.base[ExifTags.Base.Model] == CAMERA
    assert found.exif[ExifTags.Base.DateTimeOriginal] == TAKEN
    assert float(found.gps[ExifTags.GPS.GPSLatitude][2]) == 12.5
    assert kind in ("WEBP", "AVIF") or found.dpi == pytest.approx((300, 300), abs=0.01)


def test_metadata_is_read_of_a_heic() -> None:
    block = Image.open(io.BytesIO(photograph())).info["exif"]
    pixels = heif.coded([PICTURE[..., channel] for channel in (1, 2, 0)], heif.nclx(*heif.SRGB))
    for data in (struct.pack(">I", 6) + block, struct.pack(">I", 0) + block.removeprefix(b"Exif\0\0")):
        found = metadata.read(heif.heif([pixels, heif.Item(b"Exif", data, refers={b"cdsc": [1]})]))
        assert found is not None
        assert found.base[ExifTags.Base.Model] == CAMERA


@pytest.mark.parametrize(
    "further",
    [chunk(b"tEXt", b"Comment\0damaged")[:-1], chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(10**6))) * 70],
    ids=["damaged", "64 MB"],
)
def test_text_in_a_png_takes_none_of_its_metadata(further) -> None:
    if len(further) < 100:
        further += b"\0"  # a wrong checksum
    plain = photograph("PNG")
    found = metadata.read(plain[:33] + further + plain[33:])
    assert found is not None
    assert found == metadata.read(plain)


def test_metadata_is_read_of_a_png_of_imagemagick() -> None:
    block = Image.open(io.BytesIO(photograph())).info["exif"]
    text = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    for own in (chunk(b"tEXt", _RAW + text), chunk(b"zTXt", _RAW + b"\0" + zlib.compress(text))):
        plain = codec.encode(RGB, format="png")
        found = metadata.read(plain[:33] + own + plain[33:])
        assert found is not None
        assert found.base[ExifTags.Base.Model] == CAMERA


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF"])
def test_no_resolution_is_made_up(kind) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = CAMERA
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, kind, exif=exif)
    found = metadata.read(buffer.getvalue())
    assert found is None or found.dpi is None
    assert (found is None) == (kind == "GIF")


def test_a_picture_without_metadata_has_none() -> None:
    assert metadata.read(codec.encode(RGB, format="png")) is None
    assert metadata.read(b"no picture") is None


def test_hostile_values_are_left_out_and_the_rest_is_kept() -> None:
    exif = Image.Exif()
    exif.update({ExifTags.Base.Model: CAMERA, ExifTags.Base.Make: "x" * 5000})
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.LensModel: "a\nb", ExifTags.Base.FNumber: (1, 2, 3), ExifTags.Base.ISOSpeedRatings: "many"}
    )
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "JPEG", exif=exif, dpi=(1, 65535))
    found = metadata.read(buffer.getvalue())
    assert found is not None
    assert dict(found.base) == {ExifTags.Base.Model: CAMERA}
    assert ExifTags.Base.LensModel not in found.exif
    for kind in FORMATS:
        opened(saving.recode(saving.encode(RGB, depth=16, kept=found), format=kind))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_metadata_spoils_no_result(seed) -> None:
    data, rng = bytearray(photograph()), np.random.default_rng(seed)
    for at in rng.integers(2, 600, 12):
        data[at] = rng.integers(256)
    found = metadata.read(bytes(data))
    for kind in FORMATS:
        opened(saving.recode(saving.encode(RGB, kept=found), format=kind))
