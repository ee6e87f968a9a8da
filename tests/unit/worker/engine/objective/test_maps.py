"""The maps that need no network: pixels, and their Laplacian."""

import numpy as np
import pytest

from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.objective import maps
from worker.engine.objective.maps import crop


def ramp(height: int, width: int, slope: float) -> np.ndarray:
    """Pictures that brighten from left to right."""
    return np.broadcast_to(np.float32(slope) * np.arange(width, dtype=np.float32)[:, None], (1, height, width, 3))


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_a_flat_picture_has_no_laplacian(pool: int) -> None:
    assert np.abs(maps.laplacian(np.full((1, 17, 23, 3), 0.4, np.float32), pool)).max() < 1e-6


@pytest.mark.parametrize("pool", [1, 4])
def test_a_ramp_has_a_laplacian_at_its_ends_alone(pool: int) -> None:
    found = maps.laplacian(ramp(16, 32, 0.01), pool).numpy()[0, :, :, 0]

    assert np.abs(found[:, 1:-1]).max() < 1e-5
    np.testing.assert_allclose(found[:, 0], -0.01 * pool, rtol=1e-3)
    np.testing.assert_allclose(found[:, -1], 0.01 * pool, rtol=1e-3)


def test_a_bright_square_stands_out_from_its_neighbours() -> None:
    picture = np.zeros((1, 20, 20, 3), np.float32)
    picture[:, 8:12, 8:12] = 1

    found = maps.laplacian(picture, 4).numpy()[0, :, :, 1]

    expected = np.zeros((5, 5))
    expected[2, 2], expected[1, 2], expected[3, 2], expected[2, 1], expected[2, 3] = 4, -1, -1, -1, -1
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(33, 50), (16, 16), (47, 64)])
@pytest.mark.parametrize("name", ["laplacian_4", "laplacian_16", "pixels"])
def test_maps_have_the_size_and_channels_that_are_declared(name: str, size: tuple[int, int]) -> None:
    found = maps.pixel_maps(smooth_picture(*size, 1)[np.newaxis], [name])[name]

    assert found.shape == (1, *maps.map_size(size, name, mirrored=False), maps.channels(name))


def test_the_laplacian_of_a_part_is_the_part_of_the_laplacian() -> None:
    picture = smooth_picture(96, 150, 2)[np.newaxis]
    whole = maps.laplacian(picture, 4)

    part = maps.laplacian(picture[:, 16:96, 32:150], 4)

    inner = crop(part, (16, 16, 2**30, 2**30), 4)
    np.testing.assert_allclose(inner, whole[:, 8:, 12:], atol=1e-6)
