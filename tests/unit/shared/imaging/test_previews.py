"""Uploads made small for showing: upright, in sRGB, as JPEG, whatever they were."""

import io

import numpy as np
import pytest
from PIL import Image

from shared.errors import CorruptImage, ImageTooLarge
from shared.imaging import codec
from tests.support.sample_images import MAX_PX


def upload(mode: str, size: tuple[int, int] = (400, 200), *, kind: str = "png", **options: object) -> bytes:
    """A picture that is red on its left half, or dark where there is no red."""
    drawn = Image.new("RGB", size, "white")
    drawn.paste((200, 0, 0), (0, 0, size[0] // 2, size[1]))
    buffer = io.BytesIO()
    drawn.convert(mode).save(buffer, format=kind, **options)
    return buffer.getvalue()


def shown(data: bytes, longest: int = 100) -> Image.Image:
    return Image.open(io.BytesIO(codec.thumbnail_jpeg(data, max_px=MAX_PX, max_side=longest)))


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "png"), ("RGB", "jpeg"), ("CMYK", "tiff"), ("P", "png"), ("L", "png"), ("RGBA", "webp")]
)
def test_every_kind_becomes_a_small_jpeg(mode, kind) -> None:
    small = shown(upload(mode, kind=kind))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", (100, 50))
    pixels = np.asarray(small, float)
    assert pixels[25, 10].mean() < 130 < pixels[25, 90].mean()


def test_a_photograph_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side
    small = shown(upload("RGB", kind="jpeg", exif=exif))
    assert small.size == (50, 100)
    assert np.asarray(small, float)[10, 25, 1] < 60


def test_what_is_small_already_keeps_its_size() -> None:
    assert shown(upload("RGB", (40, 30))).size == (40, 30)


def test_it_is_refused_as_an_upload_is() -> None:
    with pytest.raises(CorruptImage):
        codec.thumbnail_jpeg(upload("RGB")[:60], max_px=MAX_PX, max_side=10)
    with pytest.raises(ImageTooLarge):
        codec.thumbnail_jpeg(upload("RGB"), max_px=100, max_side=10)
