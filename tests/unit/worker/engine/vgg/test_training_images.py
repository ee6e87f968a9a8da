from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator

from worker.engine.vgg import training_images

drawings = pytest.mark.parametrize("draw", [training_images.dead_leaves, training_images.strokes])


@drawings
def test_the_same_seed_draws_the_same_image(draw: Callable[[Generator, int], training_images.Image]) -> None:
    first, again, other = (draw(np.random.default_rng(seed), 48) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.05


@drawings
def test_an_image_is_in_range_and_has_contrast(draw: Callable[[Generator, int], training_images.Image]) -> None:
    image = draw(np.random.default_rng(0), 64)

    assert image.shape == (64, 64, 3)
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1
    assert image.std() > 0.1
