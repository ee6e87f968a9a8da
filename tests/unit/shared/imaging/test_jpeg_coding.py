"""How a JPEG is coded, and in how many scans, is read from its markers before anything is decoded."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from shared.errors import ImageTooLarge, UnsupportedImage
from shared.imaging import formats
from shared.imaging.formats.header import opened_by_pillow
from shared.imaging.formats.jpeg import count_scans
from tests.hostile.coded_bombs import scans
from tests.hostile.image_headers import jpeg, segment
from tests.support.sample_images import NOISE, decode, inspect, saved


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, 1),
        ({"progressive": True}, 11),
        ({"restart_marker_rows": 1}, 1),
        ({"progressive": True, "quality": 100}, 11),
    ],
)
def test_the_scans_of_encoders_are_few_and_counted(options, most) -> None:
    for image in (Image.fromarray(NOISE), Image.fromarray(NOISE).convert("L"), Image.fromarray(NOISE).convert("CMYK")):
        data = saved(image, "JPEG", **options)
        assert 1 <= count_scans(data) <= (24 if most > 1 and image.mode == "CMYK" else most)
        assert inspect(data).format == "jpeg"


def test_markers_in_metadata_are_no_scans() -> None:
    thumbnail = saved(Image.fromarray(NOISE), "JPEG", progressive=True)
    data = jpeg(64, 40, extra=segment(0xE1, thumbnail[:30_000]) + segment(0xFE, b"\xff\xda" * 1000))
    assert count_scans(data) == 1
    assert decode(data).rgb.shape == (40, 64, 3)


def test_scans_behind_the_end_are_of_another_picture() -> None:
    whole = saved(Image.fromarray(NOISE), "JPEG")
    assert count_scans(whole * 300) == 1


def test_a_hundred_scans_are_taken_and_more_refused_undecoded(monkeypatch) -> None:
    assert inspect(scans(64, 100)).width == 64
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    for number in (101, 2000):
        with pytest.raises(ImageTooLarge, match="scans"):
            inspect(scans(64, number))


def test_the_larger_a_picture_is_the_fewer_scans_it_may_have() -> None:
    black = scans(7000, 16)
    assert inspect(black, max_px=50_000_000).width == 7000
    with pytest.raises(ImageTooLarge, match="scans"):
        inspect(scans(7000, 17), max_px=50_000_000)


def test_damaged_markers_end_the_count() -> None:
    random = np.random.default_rng(6)
    data = saved(Image.fromarray(NOISE), "JPEG", progressive=True)
    for _ in range(200):
        broken = np.frombuffer(data, np.uint8).copy()
        broken[random.integers(2, len(data), 8)] = 255
        assert 0 <= count_scans(broken.tobytes()) <= 101


@pytest.mark.parametrize(
    ("frame", "bits", "told"),
    [(0xC1, 12, "12 bits"), (0xC2, 12, "12 bits"), (0xC3, 16, "16 bits"), (0xC5, 8, "Hierarchical"),
     (0xCB, 8, "Lossless"), (0xF7, 8, "JPEG-LS")],
)  # fmt: skip
def test_a_coding_that_is_not_read_is_named(frame, bits, told) -> None:
    data = bytearray(saved(Image.fromarray(NOISE), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = frame, bits
    with pytest.raises(UnsupportedImage, match=told):
        inspect(bytes(data))


def test_a_thumbnail_does_not_say_how_the_picture_is_coded() -> None:
    thumbnail = saved(Image.fromarray(NOISE), "JPEG").replace(b"\xff\xc0", b"\xff\xf7")
    assert decode(jpeg(64, 40, extra=segment(0xE1, thumbnail))).rgb.shape == (40, 64, 3)


def test_segments_without_end_are_refused_and_many_are_read() -> None:
    assert decode(jpeg(64, 40, extra=segment(0xE5, b"x") * 4000)).rgb.shape == (40, 64, 3)
    with pytest.raises(ImageTooLarge, match="segments"):
        inspect(jpeg(64, 40, extra=segment(0xE5, b"x") * 5000))


@pytest.mark.parametrize(
    "segments",
    [
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5000) * 100,
        segment(0xFE, b"a comment") * 3000,
        segment(0xE1, b"Exif\0\0" + bytes(60_000)) * 750,
    ],
    ids=["Photoshop", "comments", "Exif"],
)
def test_what_nobody_asks_of_a_picture_is_not_given_to_pillow(segments, monkeypatch) -> None:
    given = []

    def opened(data: bytes, name: str) -> Image.Image:
        given.append(len(data))
        return opened_by_pillow(data, name)

    monkeypatch.setattr(formats.jpeg, "opened_by_pillow", opened)
    data = jpeg(64, 40, extra=segments)
    assert inspect(data, max_bytes=len(data)).width == 64
    assert given == [pytest.approx(len(data) - len(segments), abs=16 * 60_100)]


def test_a_turned_picture_among_many_notes_is_upright() -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    data = saved(Image.fromarray(NOISE), "JPEG", exif=turned)
    notes = segment(0xED, b"Photoshop 3.0\0") + segment(0xFE, b"a comment")
    assert decode(data[:2] + notes + data[2:]).rgb.shape == decode(data).rgb.shape == (90, 70, 3)
