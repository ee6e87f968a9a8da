"""The preset `classic` equals the published recipe, written as a plain loop over Keras' own parts."""

import numpy as np
import pytest

from shared.errors import WeightsUnavailable
from shared.painting.params import resolve
from shared.painting.sizes import fit_long_side
from tests.support import trained_weights
from tests.unit.worker.engine.keras_reference import PlainLoop, load
from worker.engine.stylize import stylize
from worker.engine.types import Picture, Style, Subject
from worker.engine.vgg.network import Network

STEPS = 15


def test_classic_is_the_published_recipe_on_trained_weights_too(trained_dir, content: Picture, style: Picture) -> None:
    assert_as_published(trained_weights.network(), content, style)


def test_classic_is_the_published_recipe_number_for_number(network: Network, content: Picture, style: Picture) -> None:
    assert_as_published(network, content, style)


def assert_as_published(network: Network, content: Picture, style: Picture) -> None:
    """Compare the losses of each step and the result."""
    loop = PlainLoop(content, style, network, long_side=96)
    expected = np.array([loop.step() for _ in range(STEPS)])

    params = resolve("classic", {"size": 96})
    chunks = [chunk[0] for chunk in stylize([Subject(content)], [Style(style)], params, network)]
    losses = np.array([step[:3] for chunk in chunks for step in chunk.losses])
    picture = chunks[-1].image()

    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-6)
    assert picture.shape == (72, 96, 3)
    assert np.abs(picture - loop.image[0]).max() < 1 / 255
    assert np.abs(picture - load(content, 96)[0]).mean() > 0.01, "nothing was painted"


def test_classic_is_refused_with_untrained_weights(content: Picture, style: Picture) -> None:
    patch = Network("patch", "", {})

    with pytest.raises(WeightsUnavailable, match="mean nothing"):
        next(stylize([Subject(content)], [Style(style)], resolve("classic"), patch))


@pytest.mark.parametrize(("shape", "long_side"), [((400, 760, 3), 512), ((1023, 517, 3), 300), ((333, 333, 3), 512)])
def test_the_painted_size_is_that_of_the_published_recipe(shape: tuple[int, int, int], long_side: int) -> None:
    assert fit_long_side(shape, long_side) == tuple(int(side * long_side / max(shape)) for side in shape[:2])
