"""A film strip has a few frames of a run of any length, from the first preview to the last."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from shared.imaging import codec
from worker.jobs.film_strip import FilmStrip


def preview(level: float, size: tuple[int, int] = (20, 40)) -> bytes:
    return codec.encode(np.full((*size, 3), level, np.float32), format="jpeg")


def levels(strip: bytes) -> list[float]:
    """Return how light each frame is: each is as high as the strip and, by these previews, twice as wide."""
    shown = Image.open(BytesIO(strip)).convert("RGBA")
    width, count = 300, (shown.width + 6) // 306
    assert shown.size == (306 * count - 6, 150)
    return [shown.getpixel((place * 306 + width // 2, 75))[0] / 255 for place in range(count)]


@pytest.mark.parametrize("seen", [0, 1])
def test_a_run_of_one_preview_has_no_strip(seen) -> None:
    film = FilmStrip()
    for _ in range(seen):
        film.add(preview(0.5))
    assert film.encoded() is None


@pytest.mark.parametrize("seen", [2, 7, 12, 13, 100, 333])
def test_frames_lie_at_equal_distances_and_end_with_the_last(seen) -> None:
    film = FilmStrip()
    for number in range(seen):
        film.add(preview(number / (seen - 1)))
    found = levels(film.encoded())
    assert 2 <= len(found) <= 13
    assert len(found) >= min(seen, 6)
    assert (found[0], found[-1]) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    distances = np.diff(found)[:-1]
    assert distances == pytest.approx(np.full(len(distances), distances[0] if len(distances) else 0), abs=0.03)


def test_frames_of_the_first_scales_are_shown_as_large_as_the_last() -> None:
    film = FilmStrip()
    film.add(preview(0, (10, 20)))
    film.add(preview(1, (100, 200)))
    assert levels(film.encoded()) == [pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02)]
