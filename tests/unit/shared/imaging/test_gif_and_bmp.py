"""GIF's first frame and BMP, as browsers show them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from shared.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from tests.hostile.coded_bombs import bmp
from tests.support.picture_kinds import PICTURE, held, made
from tests.support.sample_images import QUARTERS, decode, inspect, saved

_RED, _BLUE = (Image.new("RGB", (32, 20), colour) for colour in ("red", "blue"))


def animated(*frames: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


def on_screen(screen: tuple[int, int], *, frame: tuple[int, int]) -> bytes:
    """A frame in the corner of a screen of another size."""
    data = saved(Image.new("P", frame), "GIF")
    return data[:6] + struct.pack("<HH", *screen) + data[10:]


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_the_first_frame_is_the_picture(disposal) -> None:
    data = animated(_RED, _BLUE, disposal=disposal, comment=b"made by hand" * 100)
    assert inspect(data).format == "gif"
    np.testing.assert_array_equal(decode(data).rgb, np.broadcast_to([1, 0, 0], (20, 32, 3)))


def test_what_the_first_frame_leaves_uncovered_is_transparent() -> None:
    alpha = decode(on_screen((32, 20), frame=(8, 4))).alpha
    assert alpha.shape == (20, 32)
    assert alpha[:4, :8].all()
    assert alpha.sum() == 32


def test_a_frame_larger_than_the_screen_is_whole() -> None:
    info = inspect(on_screen((8, 4), frame=(32, 20)))
    assert (info.width, info.height) == (32, 20)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_gif_and_bmp_show_every_mode(mode) -> None:
    image = Image.fromarray(QUARTERS[..., :1].repeat(3, 2)).convert(mode)
    for kind in ("GIF", "BMP"):
        np.testing.assert_allclose(decode(saved(image, kind)).rgb * 255, QUARTERS[..., :1].repeat(3, 2), atol=1)


def test_an_interlaced_gif_is_decoded() -> None:
    data = saved(Image.fromarray(PICTURE).quantize(64), "GIF", interlace=1)
    plain = saved(Image.fromarray(PICTURE).quantize(64), "GIF", interlace=0)
    np.testing.assert_array_equal(decode(data).rgb, decode(plain).rgb)


@pytest.mark.parametrize("kind", ["gif", "bmp"])
def test_a_file_cut_short_is_refused(kind) -> None:
    data = made(kind, held())
    for keep in (40, len(data) // 3, len(data) * 9 // 10):
        with pytest.raises(CorruptImage):
            decode(data[:keep])


def test_the_fourth_byte_of_a_bmp_counts_if_some_of_it_is_set() -> None:
    of = held(transparent=True)
    assert decode(made("bmp", of)).alpha is not None
    blank = of._replace(alpha=np.zeros_like(of.alpha))
    decoded = decode(made("bmp", blank))
    assert decoded.alpha is None
    np.testing.assert_array_equal(np.rint(decoded.rgb * 255), PICTURE)


def test_a_bmp_from_above_is_the_right_way_up() -> None:
    upright = decode(bmp(2, 2, data=bytes(8) + b"\xff" * 8)).rgb[:, 0, 0]
    assert upright.tolist() == [1, 0]
    assert decode(bmp(2, -2, data=bytes(8) + b"\xff" * 8)).rgb[:, 0, 0].tolist() == [0, 1]


def test_run_lengths_are_decoded_and_bounded() -> None:
    rgb = decode(bmp(4, 2, compression=1, bits=8, data=b"\4\1\0\0\4\0\0\1")).rgb
    assert rgb[1].max() == 1
    assert rgb[0].max() == 0
    with pytest.raises(ImageTooLarge):
        inspect(bmp(3000, 3000, compression=1, bits=8), max_px=10**8)


@pytest.mark.parametrize(
    ("compression", "bits", "told"),
    [(4, 0, "compression JPEG"), (5, 0, "compression PNG"), (3, 32, "bit fields"), (0, 2, "2 bits"), (9, 24, "9")],
)
def test_a_bmp_of_another_kind_is_refused_by_name(compression, bits, told) -> None:
    with pytest.raises(UnsupportedImage, match=told):
        inspect(bmp(4, 2, compression=compression, bits=bits, data=bytes([1, 2, 3, 4]) * 16))
