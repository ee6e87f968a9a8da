"""The preset `classic` equals the published recipe, written as a plain loop over Keras' own parts."""

import numpy as np
import pytest
import tensorflow as tf

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
    network = trained_weights.network()
    loops = [PlainLoop(content, style, network, long_side=96) for _ in range(2)]
    plain, compiled = ([step() for _ in range(STEPS)] for step in (loops[0].step, tf.function(loops[1].step)))
    # the recipe amplifies rounding there: no program comes closer to the loop than the loop, compiled, to itself
    losses = np.abs(np.array(compiled) / np.maximum(plain, 1e-6) - 1)[1:].max()
    pixels = np.abs(loops[0].image - loops[1].image).max()

    assert_as_published(network, content, style, rtol=max(1e-4, 3 * losses), atol=max(1 / 255, 3 * pixels))


def test_classic_is_the_published_recipe_number_for_number(network: Network, content: Picture, style: Picture) -> None:
    assert_as_published(network, content, style)


def assert_as_published(
    network: Network, content: Picture, style: Picture, *, rtol: float = 1e-4, atol: float = 1 / 255
) -> None:
    """Compare the losses of each step, which may be `rtol` off, and the result, whose values may be `atol` off."""
    loop = PlainLoop(content, style, network, long_side=96)
    expected = np.array([loop.step() for _ in range(STEPS)])

    params = resolve("classic", {"size": 96})
    chunks = [chunk[0] for chunk in stylize([Subject(content)], [Style(style)], params, network)]
    losses = np.array([step[:3] for chunk in chunks for step in chunk.losses])
    picture = chunks[-1].image()

    np.testing.assert_allclose(losses, expected, rtol=rtol, atol=1e-6)
    assert picture.shape == (72, 96, 3)
    assert np.abs(picture - loop.image[0]).max() < atol
    assert np.abs(picture - load(content, 96)[0]).mean() > 0.01, "nothing was painted"


def test_classic_is_refused_with_untrained_weights(content: Picture, style: Picture) -> None:
    patch = Network("patch", "", {})

    with pytest.raises(WeightsUnavailable, match="mean nothing"):
        next(stylize([Subject(content)], [Style(style)], resolve("classic"), patch))


@pytest.mark.parametrize(("shape", "long_side"), [((400, 760, 3), 512), ((1023, 517, 3), 300), ((333, 333, 3), 512)])
def test_the_painted_size_is_that_of_the_published_recipe(shape: tuple[int, int, int], long_side: int) -> None:
    assert fit_long_side(shape, long_side) == tuple(int(side * long_side / max(shape)) for side in shape[:2])
