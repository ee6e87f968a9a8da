import itertools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from shared.painting.params import StyleParams
from worker.engine.optimizers.lbfgs import FIRST_STEP, MAX_STEP, Lbfgs, LbfgsState

SHAPE = (1, 4, 5, 3)
PARAMS = StyleParams(optimizer="lbfgs", lbfgs_history=6)
#: Returns the loss and the gradient of an image.
Loss = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

#: Compiled as in the engine: once, whatever the size and the history.
UPDATE = tf.function(
    Lbfgs().update,
    input_signature=[
        (),
        Lbfgs.state_spec,
        tf.TensorSpec([None]),
        tf.TensorSpec([None, None, None, 3]),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([]),
    ],
    autograph=False,
)


class Quadratic:
    """½ Σ curvature · (x - minimum)², with the axes rotated by an orthogonal matrix."""

    def __init__(self, shape: tuple[int, ...] = SHAPE, *, low: float = 0.3, high: float = 0.7) -> None:
        rng = np.random.default_rng(0)
        count = int(np.prod(shape))
        turn, _ = np.linalg.qr(rng.normal(size=(count, count)))
        curvature = np.geomspace(1.0, 300.0, count)
        self.matrix = tf.constant(turn @ np.diag(curvature) @ turn.T, tf.float32)
        self.minimum = tf.constant(rng.uniform(low, high, shape), tf.float32)

    def __call__(self, picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        off = tf.reshape(picture - self.minimum, [-1, 1])
        product = self.matrix @ off
        return 0.5 * tf.reduce_sum(off * product), tf.reshape(product, picture.shape)


def start(shape: tuple[int, ...] = SHAPE, params: StyleParams = PARAMS) -> LbfgsState:
    picture = np.random.default_rng(1).uniform(0.2, 0.8, shape).astype(np.float32)
    return Lbfgs().start(tf.constant(picture), params)


def run(loss: Loss, state: LbfgsState, count: int, first: int = 1) -> tuple[LbfgsState, list[float]]:
    log = []
    for number in range(first, first + count):
        value, gradient = loss(state.image)
        log.append(float(value))
        state = UPDATE((), state, value[tf.newaxis], gradient, tf.constant(number), tf.constant(0.02))
    return state, log


def steepest_descent(loss: Loss, picture: tf.Tensor, rate: float, count: int) -> float:
    for _ in range(count):
        picture = tf.clip_by_value(picture - rate * loss(picture)[1], 0.0, 1.0)
    return float(loss(picture)[0])


def two_loop_recursion(gradient: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Nocedal and Wright 2006, algorithm 7.4, in double precision."""
    rest, alphas = gradient.astype(np.float64), []
    for step, change in reversed(pairs):
        alphas.append(step @ rest / (step @ change))
        rest = rest - alphas[-1] * change
    step, change = pairs[-1]
    direction = rest * (step @ change) / (change @ change)
    for (step, change), alpha in zip(pairs, reversed(alphas), strict=True):
        direction = direction + step * (alpha - change @ direction / (step @ change))
    return direction


def test_it_needs_far_fewer_updates_than_steepest_descent() -> None:
    loss, state = Quadratic(), start()

    _, log = run(loss, state, 60)

    assert log[-1] < 1e-4 * log[0]
    # 1 / 300 is the largest rate that does not overshoot
    assert steepest_descent(loss, state.image, 1 / 300, 600) > 10 * log[-1]


def test_its_steps_are_those_of_the_two_loop_recursion() -> None:
    loss, state = Quadratic(), start(params=StyleParams(lbfgs_history=3))
    pictures, gradients = [], []
    for number in range(8):
        gradient = loss(state.image)[1].numpy()
        pictures.append(state.image.numpy().ravel())
        gradients.append(gradient.ravel())
        state, _ = run(loss, state, 1)
        direction = -FIRST_STEP * gradients[0] / np.abs(gradients[0]).max()
        if number:
            pairs = list(zip(np.diff(pictures, axis=0), np.diff(gradients, axis=0), strict=True))
            direction = -two_loop_recursion(gradients[-1], pairs[-3:])
        direction *= min(1, float(state.trust_radius[0]) / np.abs(direction).max())
        assert state.loss[0] == loss(pictures[-1].reshape(SHAPE))[0], "no trial of this run is rejected"
        np.testing.assert_allclose(state.image.numpy().ravel(), np.clip(pictures[-1] + direction, 0, 1), atol=2e-5)


def test_it_finds_a_minimum_on_the_bounds() -> None:
    loss = Quadratic(low=-0.3, high=1.3)

    state, _ = run(loss, start(), 150)

    picture, gradient = state.accepted.numpy(), state.gradient.numpy()
    inside = (picture > 0) & (picture < 1)
    assert 10 < inside.sum() < inside.size - 10
    assert np.abs(gradient[inside]).max() < 1e-2
    assert (gradient[picture == 0] > 0).all()
    assert (gradient[picture == 1] < 0).all()


def test_chunks_of_any_length_give_the_same_image_bit_for_bit() -> None:
    loss = Quadratic()
    whole, _ = run(loss, start(), 20)

    state = start()
    for first, count in ((1, 1), (2, 7), (9, 12)):
        state, _ = run(loss, state, count, first)
        state = LbfgsState(*(tf.constant(np.array(part)) for part in state))

    for part, expected in zip(state, whole, strict=True):
        np.testing.assert_array_equal(part, expected)


def test_it_runs_inside_a_compiled_loop() -> None:
    loss = Quadratic()
    expected, _ = run(loss, start(), 10)

    @tf.function(input_signature=[Lbfgs.state_spec], autograph=False)
    def looped(state: LbfgsState) -> LbfgsState:
        def step(i: tf.Tensor, state: LbfgsState) -> tuple[tf.Tensor, LbfgsState]:
            value, gradient = loss(tf.ensure_shape(state.image, SHAPE))
            return i + 1, Lbfgs().update((), state, value[tf.newaxis], gradient, i, 0.0)

        return tf.while_loop(lambda i, _: i < 10, step, (0, state))[1]

    np.testing.assert_allclose(looped(start()).image, expected.image, atol=1e-4)


@pytest.mark.parametrize("history", [1, 4])
def test_the_history_stays_within_its_bound(history: int) -> None:
    state, log = run(Quadratic(), start(params=StyleParams(lbfgs_history=history)), 12)

    assert state.steps.shape == state.gradient_changes.shape == (1, history, 60)
    assert np.count_nonzero(state.rho) == history
    assert log[-1] < 0.1 * log[0]


def test_a_trial_that_raises_the_loss_is_rejected() -> None:
    loss = Quadratic()
    state, log = run(loss, start(), 10)
    # a trial far from the accepted image
    wild = state._replace(image=1.0 - state.image)
    assert loss(wild.image)[0] > log[-1]

    after, _ = run(loss, wild, 1)
    np.testing.assert_array_equal(after.accepted, state.accepted)
    assert float(after.trust_radius[0]) < float(tf.reduce_max(tf.abs(wild.image - state.accepted)))
    _, later = run(loss, after, 40)

    assert later[-1] < 0.01 * log[-1]


def test_it_descends_a_curved_valley() -> None:
    def rosenbrock(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(picture)
            x, y = tf.split(tf.reshape(picture, [-1, 2]) * 2.0 - 0.5, 2, axis=1)
            value = tf.reduce_sum(100.0 * tf.square(y - x * x) + tf.square(1.0 - x))
        return value, tape.gradient(value, picture)

    state, log = run(rosenbrock, start(), 120)

    assert any(after > before for before, after in itertools.pairwise(log)), "no trial was rejected on the way"
    assert float(state.loss[0]) < 1e-3 * log[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_changes_neither_the_accepted_image_nor_the_history(bad: float) -> None:
    state, _ = run(Quadratic(), start(), 4)

    def broken(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.constant(bad, tf.float32), tf.fill(picture.shape, np.float32(bad))

    after, _ = run(broken, state, 1)

    np.testing.assert_array_equal(after.accepted, state.accepted)
    assert all(np.isfinite(part).all() for part in after)


def test_no_update_moves_a_pixel_beyond_the_largest_step() -> None:
    state, loss = start(), Quadratic(low=-5, high=5)
    for number in range(5):
        after, _ = run(loss, state, 1)
        assert np.abs(after.image - after.accepted).max() <= (MAX_STEP if number else FIRST_STEP) + 1e-6
        state = after


def test_an_image_at_the_minimum_stays() -> None:
    state, _ = run(lambda picture: (tf.constant(0.0), tf.zeros_like(picture)), start(), 3)

    np.testing.assert_array_equal(state.image, start().image)


def test_another_size_keeps_the_curvature_of_the_smaller_one() -> None:
    def flat(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.reduce_sum(0.5 * (picture - 0.9) ** 2), picture - 0.9

    state, _ = run(flat, Lbfgs().start(tf.fill(SHAPE, 0.1), PARAMS), 3)
    larger = tf.fill([1, 2 * state.image.shape[1], 2 * state.image.shape[2], 3], 0.5)

    carried = Lbfgs().rescaled(state, larger, PARAMS)

    fresh = Lbfgs().start(larger, PARAMS)
    assert float(carried.gamma[0]) == pytest.approx(4 * float(state.gamma[0]))
    kept = {"steps", "gradient_changes", "rho", "pair_count", "gamma"}
    for name in set(fresh._fields) - kept:
        np.testing.assert_array_equal(getattr(carried, name), getattr(fresh, name))
    # four pixels for one, each with a quarter of the gradient: the curvature along a step stays what it was
    newest, kept_newest = (int(found.pair_count[0] - 1) % PARAMS.lbfgs_history for found in (state, carried))
    assert float(carried.rho[0, kept_newest]) == pytest.approx(float(state.rho[0, newest]), rel=1e-4)
    steps, changes = carried.steps[0, kept_newest], carried.gradient_changes[0, kept_newest]
    assert float(carried.rho[0, kept_newest]) == pytest.approx(1 / float(tf.reduce_sum(steps * changes)), rel=1e-4)


@pytest.mark.parametrize("length", [2, 30])
def test_another_size_may_keep_a_shorter_or_a_longer_history(length: int) -> None:
    state, _ = run(Quadratic(), start(), 12)
    larger, other = tf.fill([1, 8, 10, 3], 0.5), PARAMS.model_copy(update={"lbfgs_history": length})

    carried = Lbfgs().rescaled(state, larger, other)

    kept = min(length, PARAMS.lbfgs_history)
    assert carried.steps.shape == (1, length, 8 * 10 * 3)
    assert int(carried.pair_count[0]) == kept
    assert np.count_nonzero(carried.rho) == kept
    after, values = run(Quadratic((1, 8, 10, 3)), carried, 12)
    assert np.isfinite(after.accepted).all()
    assert values[-1] < values[0]


def test_images_of_a_batch_do_not_affect_each_other() -> None:
    losses = Quadratic(), Quadratic(low=-0.3, high=1.3)
    alone = [run(loss, start(), 30)[0] for loss in losses]

    def both(picture: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = [loss(picture[n : n + 1]) for n, loss in enumerate(losses)]
        return tf.stack([value for value, _ in found]), tf.concat([gradient for _, gradient in found], axis=0)

    state = Lbfgs().start(tf.concat([start().image] * 2, axis=0), PARAMS)
    for _ in range(30):
        value, gradient = both(state.image)
        state = UPDATE((), state, value, gradient, tf.constant(1), tf.constant(0.02))

    for number, expected in enumerate(alone):
        np.testing.assert_allclose(state.accepted[number], expected.accepted[0], atol=1e-3)
        assert state.pair_count[number] == expected.pair_count[0]
