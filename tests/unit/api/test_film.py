"""The strip of a timelapse."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from api.dashboard.film import strip


def timelapse(frames: int) -> bytes:
    made = [Image.new("RGB", (40, 30), (number * 255 // max(frames - 1, 1), 0, 0)) for number in range(frames)]
    buffer = BytesIO()
    made[0].save(buffer, format="webp", save_all=True, append_images=made[1:], duration=100, lossless=True)
    return buffer.getvalue()


@pytest.mark.parametrize(("frames", "shown"), [(1, 1), (3, 3), (8, 8), (60, 8)])
def test_it_shows_frames_at_equal_distances_the_first_and_the_last_among_them(frames, shown) -> None:
    drawn = Image.open(BytesIO(strip(timelapse(frames)))).convert("RGB")
    assert drawn.size == (shown * 206 - 6, 150)
    if frames > 1:
        assert drawn.getpixel((100, 75))[0] < 20
        assert drawn.getpixel((drawn.width - 100, 75))[0] > 235
