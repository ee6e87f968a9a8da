"""Our own pictures in another format or smaller: the same picture, without floats between."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from shared.imaging import codec, encoder, opening
from tests.support.factories import picture
from tests.support.sample_images import MAX_PX, decode

HALF = np.repeat(np.float32([[0.0, 1.0]]), 20, axis=1).repeat(30, axis=0)


@pytest.mark.parametrize("alpha", [None, HALF])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_it_is_the_picture_that_encoding_it_gives(kind, alpha) -> None:
    rgb = picture(40, 30)
    ours = codec.recode(codec.encode(rgb, alpha, format="png"), format=kind)
    expected, found = decode(codec.encode(rgb, alpha, format=kind)), decode(ours)
    assert Image.open(io.BytesIO(ours)).format == kind.upper()
    seen = slice(None) if alpha is None or kind == "jpeg" else slice(20, None)  # what is transparent has any colour
    assert np.abs(found.rgb - expected.rgb)[:, seen].max() <= 3 / 255
    assert (found.alpha is None) == (alpha is None or kind == "jpeg")
    assert found.alpha is None or np.array_equal(found.alpha, HALF)


@pytest.mark.parametrize(
    ("longest", "size"), [(10, (10, 8)), (40, (40, 30)), (99, (40, 30)), (1, (1, 1)), (0, (40, 30))]
)
def test_it_is_made_no_larger(longest, size) -> None:
    data = codec.encode(picture(40, 30), format="png")
    small = Image.open(io.BytesIO(codec.recode(data, format="jpeg", max_side=longest)))
    assert small.size == size


def test_an_upload_does_not_wait_for_a_large_one_that_is_encoded(monkeypatch) -> None:
    data = codec.encode(picture(40, 30), format="png")
    seen = []

    def saved(*_: object, **__: object) -> bytes:
        seen.append(codec.inspect(data, max_bytes=10**6, max_px=MAX_PX).width)
        return b""

    monkeypatch.setattr(opening, "_LARGE_PX", 0)
    monkeypatch.setattr(encoder, "save", saved)
    codec.recode(data, format="webp")
    assert seen == [40]


def test_a_large_one_takes_no_floats() -> None:
    data = codec.encode(np.zeros((1000, 1000, 3), np.float32), format="png")
    assert len(data) < MAX_PX
    tracemalloc.start()
    try:
        codec.recode(data, format="jpeg")
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # as floats, it takes 12 MB and more
    finally:
        tracemalloc.stop()
