"""The timelapse of a run."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.support.factories import picture
from worker.engine.timelapse import Timelapse
from worker.engine.types import Chunk, Losses, Picture, Snapshot


def shade(level: float, width: int = 24, height: int = 16) -> Picture:
    return np.full((height, width, 3), level, np.float32)


def chunk(last: int, total: int, shown: Picture) -> Chunk:
    return Chunk(
        first=last,
        total=total,
        scale=1,
        scales=1,
        size=(24, 16),
        losses=(Losses(1.0, 1.0, 1.0, 0.0),),
        step_ms=1.0,
        eta_s=0.0,
        image=lambda: shown,
        snapshot=lambda: Snapshot(1, last, {}),
    )


def filmed(asked: int, total: int, every: int = 1) -> tuple[Timelapse, bytes]:
    """Collect the frames of a run that goes from black to white in calls of `every` steps."""
    timelapse = Timelapse(asked)
    for last in range(every, total, every):
        timelapse.collect(chunk(last, total, shade(last / total)))
    return timelapse, timelapse.encode(shade(1), chunk(total, total, shade(1)))


def levels(film: bytes) -> list[float]:
    with Image.open(BytesIO(film)) as opened:
        found = []
        for number in range(opened.n_frames):
            opened.seek(number)
            found.append(np.asarray(opened.convert("RGB")).mean() / 255)
        return found


@pytest.mark.parametrize("asked", [1, 2, 4, 10, 20])
def test_the_frames_asked_for_are_evenly_spaced_and_the_last_is_the_result(asked) -> None:
    _, film = filmed(asked, 20)
    assert levels(film) == pytest.approx([(frame + 1) / asked for frame in range(asked)], abs=0.03)


def test_calls_longer_than_the_space_between_frames_give_fewer_frames(monkeypatch) -> None:
    timelapse, film = filmed(20, 20, every=5)
    assert levels(film) == pytest.approx([0.25, 0.5, 0.75, 1], abs=0.03)
    assert timelapse._durations_ms([5, 10, 15, 20], 20) == [500, 500, 500, 2000]


def test_no_timelapse_is_made_unless_asked_for() -> None:
    timelapse, film = filmed(0, 20)
    assert (timelapse.frames, film) == ([], None)


def test_frames_of_smaller_scales_are_enlarged() -> None:
    timelapse = Timelapse(2)
    timelapse.collect(chunk(5, 10, shade(0.5, 12, 8)))
    film = timelapse.encode(shade(1), chunk(10, 10, shade(1)))
    with Image.open(BytesIO(film)) as opened:
        assert (opened.size, opened.n_frames) == ((24, 16), 2)


def test_a_run_that_ends_early_ends_with_its_result() -> None:
    timelapse = Timelapse(4)
    timelapse.collect(chunk(5, 20, shade(0.2)))
    assert levels(timelapse.encode(shade(0.9), chunk(7, 20, shade(0.9)))) == pytest.approx([0.2, 0.9], abs=0.03)


def test_the_frames_of_a_large_image_are_shrunk() -> None:
    film = Timelapse(1).encode(picture(960, 640), chunk(1, 1, picture()))
    with Image.open(BytesIO(film)) as opened:
        assert opened.size == (480, 320)
