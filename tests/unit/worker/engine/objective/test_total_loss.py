"""The total loss as a function of the image: gradients, masks, batches."""

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from shared.painting.params import StyleParams
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.compute.targets import StyleSet, build_targets
from worker.engine.compute.whole_image import whole_image_evaluator
from worker.engine.objective.total_loss import LossWeights, Objective, ObjectiveSpec, Targets
from worker.engine.types import Style
from worker.engine.vgg.network import Network

SHALLOW = StyleParams(
    content_layers={"block2_conv1": 1.0},
    style_layers={"block1_conv1": 1.0, "block2_conv1": 0.5},
    content_weight=1.0,
    style_weight=1.0,
    tv_weight=0.5,
    pooling="average",
)

#: The terms that no preset has.
EVERY_TERM = {"color_weight": 1.0, "laplacian_weight": 1.0, "tv_stencil": "nine-point"}


def objective_and_targets(
    contents: np.ndarray, styles: Sequence[Style], params: StyleParams, network: Network
) -> tuple[Objective, Targets]:
    masked = any(style.mask is not None for style in styles)
    spec = ObjectiveSpec.from_params(params, precision="float32", regions=len(styles) if masked else 0)
    evaluator = whole_image_evaluator(network, spec)
    style_set = StyleSet(styles, params, network, spec, lambda _: evaluator)
    moments = style_set.moments(max(contents.shape[1:3]), contents[0])
    targets = build_targets(tf.constant(contents), evaluator.content(contents), [moments], style_set)
    return Objective(network, spec), targets


def losses(objective: Objective, pictures: np.ndarray, targets: Targets, params: StyleParams) -> tf.Tensor:
    return objective.losses(objective.sums(tf.constant(pictures), targets), targets, LossWeights.from_params(params))


@pytest.mark.parametrize("statistic", ["gram", "covariance", "wasserstein"])
@pytest.mark.parametrize("scaling", ["none", "target"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_equals_finite_differences(statistic: str, scaling: str, masked: bool, network: Network) -> None:
    params = SHALLOW.model_copy(update={"style_statistic": statistic, "loss_scaling": scaling, **EVERY_TERM})
    mask = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16) if masked else None
    contents = smooth_picture(16, 16, seed=1)[np.newaxis]
    objective, targets = objective_and_targets(
        contents, [Style(smooth_picture(16, 16, seed=2), mask=mask)], params, network
    )
    at = tf.constant(smooth_picture(16, 16, seed=3)[np.newaxis])

    with tf.GradientTape() as tape:
        tape.watch(at)
        value = losses(objective, at, targets, params)[0, 0]
    gradient = tape.gradient(value, at)
    direction = gradient / tf.norm(gradient)
    step = 1e-2
    ahead, behind = (losses(objective, at + sign * step * direction, targets, params)[0, 0] for sign in (1, -1))

    assert float((ahead - behind) / (2 * step)) == pytest.approx(float(tf.norm(gradient)), rel=1e-2)


def test_an_image_that_is_its_own_content_and_style_has_no_loss(network: Network) -> None:
    picture = smooth_picture(24, 24, seed=1)
    objective, targets = objective_and_targets(picture[np.newaxis], [Style(picture)], SHALLOW, network)

    total, content, style, _ = losses(objective, picture[np.newaxis], targets, SHALLOW)[0].numpy()

    assert content == pytest.approx(0, abs=1e-8)
    assert style == pytest.approx(0, abs=1e-6)
    assert total > 0


def test_the_total_is_the_sum_of_its_parts(network: Network) -> None:
    objective, targets = objective_and_targets(
        smooth_picture(24, 30, seed=1)[np.newaxis], [Style(smooth_picture(24, 30, 2))], SHALLOW, network
    )

    total, *parts = losses(objective, smooth_picture(24, 30, seed=3)[np.newaxis], targets, SHALLOW)[0].numpy()

    assert total == pytest.approx(sum(parts), rel=1e-5)


def test_a_style_has_no_gradient_outside_its_mask(network: Network) -> None:
    params = SHALLOW.model_copy(update={"content_weight": 0.0, "tv_weight": 0.0})
    left, right = np.zeros((32, 48), np.float32), np.zeros((32, 48), np.float32)
    left[:, :24], right[:, 24:] = 1, 1
    content = smooth_picture(32, 48, seed=1)[np.newaxis]
    styles = [Style(smooth_picture(32, 48, 2), 1.0, left), Style(smooth_picture(32, 48, 3), 0.0, right)]
    objective, targets = objective_and_targets(content, styles, params, network)
    at = tf.constant(content)

    with tf.GradientTape() as tape:
        tape.watch(at)
        value = losses(objective, at, targets, params)[0, 0]
    pull = np.abs(tape.gradient(value, at).numpy())[0]

    assert pull[:, 24:].max() == 0
    assert pull[:, :20].max() > 0


@pytest.mark.parametrize("statistic", ["gram", "covariance", "wasserstein"])
def test_a_mask_of_ones_changes_nothing(statistic: str, network: Network) -> None:
    params = SHALLOW.model_copy(update={"style_statistic": statistic, **EVERY_TERM})
    content, style = smooth_picture(32, 40, seed=1)[np.newaxis], smooth_picture(40, 32, seed=2)
    at = smooth_picture(32, 40, seed=3)[np.newaxis]
    found = []
    for mask in (None, np.ones((32, 40), np.float32)):
        objective, targets = objective_and_targets(content, [Style(style, mask=mask)], params, network)
        found.append(losses(objective, at, targets, params).numpy())

    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize("statistic", ["gram", "covariance", "wasserstein"])
def test_each_image_of_a_batch_has_the_losses_that_it_has_alone(statistic: str, network: Network) -> None:
    params = SHALLOW.model_copy(update={"style_statistic": statistic, **EVERY_TERM})
    contents = np.stack([smooth_picture(24, 32, seed) for seed in (1, 2, 3)])
    pictures = np.stack([smooth_picture(24, 32, seed) for seed in (4, 5, 6)])
    style = Style(smooth_picture(30, 30, seed=7))
    objective, targets = objective_and_targets(contents, [style], params, network)

    together = losses(objective, pictures, targets, params)

    for number in range(3):
        _, own = objective_and_targets(contents[number : number + 1], [style], params, network)
        alone = losses(objective, pictures[number : number + 1], own, params)
        np.testing.assert_allclose(together[number], alone[0], rtol=1e-5)
        np.testing.assert_allclose(
            losses(objective, pictures[[number]], targets.select([number]), params), alone, rtol=1e-5
        )
