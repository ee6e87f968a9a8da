"""Colours under an opacity of 0 count for nothing: they are filled from what is visible around them."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from shared.errors import BlankImage
from shared.imaging import codec
from shared.imaging.filling import fill_hidden
from shared.imaging.mixing import Mix
from tests.support.sample_images import MAX_PX, decode, inspect, saved

_RANDOM = np.random.default_rng(4)


def opacity(height: int, width: int, share: float = 0.5) -> np.ndarray:
    """Blobs that are visible, with soft edges, and much that is not."""
    blobs = np.asarray(Image.fromarray(_RANDOM.random((9, 9)).astype(np.float32)).resize((width, height)))
    return np.clip((blobs - np.quantile(blobs, 1 - share)) * 10, 0, 1).astype(np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 2), (64, 96), (97, 131), (700, 900)])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_what_is_filled_depends_on_visible_colours_alone(size, share) -> None:
    alpha = opacity(*size, share)
    alpha[size[0] // 2, size[1] // 2] = 1
    colours = _RANDOM.random((*size, 3)).astype(np.float32)
    filled = []
    for hidden in (0.0, 1.0, 0.3):
        own = np.where(alpha[..., np.newaxis] > 0, colours, np.float32(hidden))
        fill_hidden(own, alpha)
        filled.append(own)
    assert filled[0].tobytes() == filled[1].tobytes() == filled[2].tobytes()
    np.testing.assert_array_equal(filled[0][alpha > 0], colours[alpha > 0])
    assert filled[0].min() >= 0
    assert filled[0].max() <= 1


def test_hidden_places_look_like_what_is_near() -> None:
    colours = np.zeros((64, 64, 3), np.float32)
    alpha = np.zeros((64, 64), np.float32)
    alpha[:, :8] = alpha[:, -8:] = 1
    colours[:, :8], colours[:, -8:] = (1, 0, 0), (0, 0, 1)
    fill_hidden(colours, alpha)
    assert colours[32, 10, 0] > 0.9 > 0.1 > colours[32, 53, 0]
    assert (np.diff(colours[32, :, 0]) <= 1e-6).all()
    np.testing.assert_allclose(colours[:, 31:33].mean(axis=(0, 1)), [0.5, 0, 0.5], atol=0.05)


def test_faint_places_weigh_little() -> None:
    colours = np.zeros((2, 2, 3), np.float32)
    colours[0] = [[1, 1, 1], [0.5, 0.5, 0.5]]
    alpha = np.float32([[0.01, 1], [0, 0]])
    fill_hidden(colours, alpha)
    np.testing.assert_allclose(colours[1], 0.505, atol=0.001)


def test_eight_bits_are_filled_like_floats() -> None:
    alpha = opacity(50, 70)
    colours = _RANDOM.integers(0, 256, (50, 70, 3), np.uint8)
    floats = colours / np.float32(255)
    fill_hidden(colours, alpha)
    fill_hidden(floats, alpha)
    np.testing.assert_allclose(colours / 255, floats, atol=0.6 / 255)


def test_a_band_is_filled_as_the_whole(monkeypatch) -> None:
    from shared.imaging import filling

    alpha, colours = opacity(101, 60, 0.1), _RANDOM.random((101, 60, 3)).astype(np.float32)
    whole = colours.copy()
    fill_hidden(whole, alpha)
    monkeypatch.setattr(filling, "_BAND_PX", 400)
    fill_hidden(colours, alpha)
    assert colours.tobytes() == whole.tobytes()


@pytest.mark.slow
def test_a_megapixel_is_filled_in_a_tenth_of_a_second() -> None:
    alpha, colours = opacity(2000, 2000), _RANDOM.random((2000, 2000, 3)).astype(np.float32)
    started = time.process_time()
    fill_hidden(colours, alpha)
    assert (time.process_time() - started) / 4 < 0.1


def files(mode: str, kind: str) -> list[bytes]:
    """The same visible picture over black, white and noise."""
    visible, alpha = _RANDOM.integers(0, 256, (40, 60, 3), np.uint8), np.rint(opacity(40, 60) * 255).astype(np.uint8)
    made = []
    for hidden in (0, 255, _RANDOM.integers(0, 256, (40, 60, 3), np.uint8)):
        rgb = np.where(alpha[..., np.newaxis] > 0, visible, np.uint8(hidden))
        image = Image.fromarray(np.dstack([rgb, alpha])).convert(mode)
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        made.append(saved(image, kind, **options))
    return made


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF")])
def test_hidden_colours_show_nowhere(mode, kind) -> None:
    uploads = files(mode, kind)
    assert len(set(uploads)) == 3
    first, *others = map(decode, uploads)
    painted = codec.encode(_RANDOM.random((20, 30, 3)).astype(np.float32), format="png")
    for other, data in zip(others, uploads[1:], strict=True):
        assert other.rgb.tobytes() == first.rgb.tobytes()
        assert other.alpha.tobytes() == first.alpha.tobytes()
        for form in ("png", "jpeg"):
            one, two = (codec.recode(painted, format=form, mix=Mix(own, 0.5, MAX_PX)) for own in (uploads[0], data))
            assert one == two
        small, same = (codec.thumbnail_jpeg(own, max_px=MAX_PX, max_side=16) for own in (uploads[0], data))
        assert small == same


def test_partial_opacity_keeps_its_colours() -> None:
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 1))
    decoded = decode(saved(image))
    np.testing.assert_array_equal(np.rint(decoded.rgb[0, 0] * 255), [200, 100, 50])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_picture_that_is_transparent_everywhere_is_refused(mode) -> None:
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 0)).convert(mode)
    data = saved(image, transparency=0) if mode == "P" else saved(image)
    if mode == "P":
        assert Image.open(io.BytesIO(data)).getpixel((0, 0)) == 0
    for read in (inspect, decode):
        with pytest.raises(BlankImage):
            read(data)
    assert codec.is_blank_mask(data, max_px=MAX_PX)
