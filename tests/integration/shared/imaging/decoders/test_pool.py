"""Pictures decoded in children are what they are when decoded here, and are refused as they are here."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from structlog.testing import capture_logs

from shared.errors import AtelierError, ImageTooLarge, UnsupportedImage
from shared.imaging import codec
from shared.imaging.decoders.limits import LARGE_PX
from shared.imaging.decoders.pool import Decoders
from shared.imaging.mixing import Mix
from tests.integration.shared.imaging.decoders.conftest import LIMITS
from tests.support.factories import picture
from tests.support.sample_images import NOISE, saved

pytestmark = pytest.mark.process

PNG = codec.encode(picture(60, 40), np.full((40, 60), 0.5, np.float32), format="png")
MAX_PX = LIMITS.max_upload_px


def test_an_upload_is_described(decoders) -> None:
    assert decoders.inspect(PNG, owner="a") == codec.inspect(PNG, max_bytes=10**6, max_px=MAX_PX)


def test_an_upload_is_shown_small(decoders) -> None:
    expected = codec.thumbnail_jpeg(PNG, max_px=MAX_PX, max_side=20)
    assert decoders.thumbnail_jpeg(PNG, max_side=20, owner="a") == expected


@pytest.mark.parametrize("black", [True, False])
def test_a_mask_is_judged(decoders, black) -> None:
    mask = saved(Image.new("L", (9, 9), 0 if black else 200))
    assert decoders.is_blank_mask(mask, owner="a") is black


@pytest.mark.parametrize("alpha", [None, np.linspace(0, 1, 70 * 90, dtype=np.float32).reshape(70, 90)])
def test_a_picture_is_decoded_to_the_same_floats(decoders, alpha) -> None:
    data = codec.encode(NOISE / np.float32(255), alpha, format="png")
    ours, theirs = codec.decode(data, max_px=MAX_PX), decoders.decode(data, owner="a")
    assert np.array_equal(ours.rgb, theirs.rgb)
    assert (ours.alpha is None) == (theirs.alpha is None) == (alpha is None)
    assert alpha is None or np.array_equal(ours.alpha, theirs.alpha)
    assert theirs.rgb.flags.writeable


def test_a_painting_is_mixed_with_its_photograph(decoders) -> None:
    painted, photograph = (codec.encode(picture(60, 40, seed), format="png") for seed in (1, 2))
    mix = Mix(photograph, 0.3, MAX_PX)
    expected = codec.recode(painted, format="webp", max_side=30, mix=mix)
    assert decoders.mix(painted, mix, px=2400, owner="a", format="webp", quality=92, max_side=30) == expected


@pytest.mark.parametrize("data", [b"no picture", PNG[:70], b""], ids=["other", "damaged", "empty"])
def test_a_refusal_is_the_codecs_own(decoders, data) -> None:
    def refusal(inspect) -> tuple[str, str]:
        with pytest.raises(AtelierError) as raised:
            inspect()
        return raised.value.code, raised.value.detail

    here = refusal(lambda: codec.inspect(data, max_bytes=10**6, max_px=MAX_PX))
    assert refusal(lambda: decoders.inspect(data, owner="a")) == here


def test_a_refusal_has_the_codecs_fields(decoders) -> None:
    data = saved(Image.new("1", (9000, 9000)))
    with pytest.raises(ImageTooLarge) as raised:
        decoders.inspect(data, owner="a")
    assert raised.value.fields == {"width": 9000, "height": 9000, "max_px": MAX_PX}


def test_why_a_picture_is_refused_is_in_the_parents_log(decoders) -> None:
    with capture_logs() as logged, pytest.raises(AtelierError):
        decoders.inspect(PNG[:70], owner="a")
    [event] = logged
    assert event["event"] == "image_refused"
    assert "truncated" in event["reason"].lower()


def test_a_large_picture_is_decoded_apart(decoders) -> None:
    side = int(LARGE_PX**0.5) + 8
    data = saved(Image.new("L", (side, side)), "PNG", compress_level=1)
    assert decoders.inspect(data, owner="large").width == side
    assert [child.owner for child in decoders._large._idle] == ["large"]


def test_a_picture_of_more_memory_than_its_pixels_may_take_is_refused() -> None:
    opened = Decoders(replace(LIMITS, decode_memory_bytes=150 * 2**20))
    try:
        with pytest.raises(ImageTooLarge, match="memory"):
            opened.inspect(saved(Image.new("RGB", (4000, 4000)), "PNG", compress_level=1), owner="a")
        assert opened.inspect(PNG, owner="a").width == 60
    finally:
        opened.close()


def test_nothing_is_started_before_the_first_picture() -> None:
    opened = Decoders(LIMITS)
    assert opened._client._process is None
    opened.close()


def test_decoders_that_were_closed_start_again(decoders) -> None:
    decoders.close()
    with pytest.raises(UnsupportedImage):
        decoders.inspect(b"x", owner="a")


def test_an_animation_shows_its_first_frame(decoders) -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert decoders.decode(buffer.getvalue(), owner="a").rgb[0, 0].tolist() == [1, 0, 0]
