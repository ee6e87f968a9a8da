"""The demo's own pictures: always the same, and fit to be uploaded."""

import numpy as np
import pytest

from api.cli.demo import samples
from shared.imaging import codec

WIDTH, HEIGHT = 321, 240
DRAW = {"scene": samples.scene, "painting": samples.painting}


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    return {name: draw(WIDTH, HEIGHT) for name, draw in DRAW.items()}


@pytest.mark.parametrize("name", DRAW)
def test_a_sample_is_drawn_the_same_every_time(drawn, name) -> None:
    np.testing.assert_array_equal(DRAW[name](WIDTH, HEIGHT), drawn[name])


@pytest.mark.parametrize("name", DRAW)
def test_a_sample_has_the_size_asked_for_and_can_be_uploaded(drawn, name) -> None:
    assert drawn[name].shape == (HEIGHT, WIDTH, 3)
    assert drawn[name].dtype == np.float32
    data = codec.encode(drawn[name], format="png")
    info = codec.inspect(data, max_bytes=10**6, max_px=10**6)
    assert (info.width, info.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("name", DRAW)
def test_a_sample_uses_the_range_of_light_and_no_more(drawn, name) -> None:
    assert drawn[name].min() >= 0
    assert drawn[name].max() <= 1
    grey = drawn[name].mean(axis=2)
    assert np.percentile(grey, 2) < 0.2
    assert np.percentile(grey, 98) > 0.65


def test_a_sample_can_stand_upright() -> None:
    assert samples.scene(40, 60).shape == (60, 40, 3)


def test_the_lake_mirrors_the_land_above_it(drawn) -> None:
    grey = drawn["scene"].mean(axis=2)[:, 50:-50]
    shore = round(0.6 * HEIGHT)
    above, below = grey[shore - 45 : shore], grey[shore : shore + 45][::-1]
    assert np.corrcoef(above.mean(axis=1), below.mean(axis=1))[0, 1] > 0.5


def test_the_paintings_strokes_follow_its_whirl(drawn) -> None:
    """Around the sun, light changes outwards more than along the strokes."""
    grey = drawn["painting"].mean(axis=2)
    turn = np.linspace(0, 2 * np.pi, 120)
    circles = [(0.27 * HEIGHT + r * np.sin(turn), 0.86 * HEIGHT + r * np.cos(turn)) for r in range(8, 44, 7)]
    rings = np.stack([grey[y.astype(int), x.astype(int)] for y, x in circles])
    assert rings.mean(axis=1).std() > rings.std(axis=1).mean()
