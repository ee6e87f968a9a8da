import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.painting.params import StyleParams, resolve
from worker.engine.optimizers.adam import Adam
from worker.engine.optimizers.state import learning_rates


@pytest.mark.parametrize("params", [resolve("classic"), resolve("balanced")])
def test_updates_equal_keras_adam_with_clipping(params: StyleParams) -> None:
    rng = np.random.default_rng(0)
    start = tf.constant(rng.uniform(size=(1, 4, 5, 3)), tf.float32)
    adam = Adam()
    keras_adam = keras.optimizers.Adam(params.learning_rate, params.beta_1, params.beta_2, epsilon=params.epsilon)
    expected, state = tf.Variable(start), adam.start(start, params)

    for step in range(1, 21):
        gradient = tf.constant(rng.normal(size=start.shape), tf.float32)
        keras_adam.apply_gradients([(gradient, expected)])
        expected.assign(tf.clip_by_value(expected, 0.0, 1.0))
        state = adam.update(adam.hparams(params), state, None, gradient, step, params.learning_rate)

    np.testing.assert_allclose(state.image, expected, atol=1e-6)


def test_the_learning_rate_is_constant_by_default() -> None:
    assert set(learning_rates(StyleParams(learning_rate=0.03), 7).tolist()) == {np.float32(0.03)}


def test_the_learning_rate_decays_geometrically_to_the_final_one() -> None:
    rates = learning_rates(StyleParams(learning_rate=0.08, final_learning_rate=0.01), 4)

    np.testing.assert_allclose(rates, [0.08, 0.04, 0.02, 0.01], rtol=1e-6)


def test_moments_are_rescaled_to_those_that_a_larger_image_would_have_had() -> None:
    adam, params = Adam(), resolve("balanced")
    small, large = tf.fill([1, 4, 5, 3], 0.5), tf.fill([1, 8, 10, 3], 0.5)
    states = {}
    for picture, gradient in ((small, 0.4), (large, 0.1)):
        state = adam.start(picture, params)
        for step in range(1, 4):
            pulled = tf.fill(picture.shape, gradient)
            state = adam.update(adam.hparams(params), state, None, pulled, step, 0.01)
        states[picture.shape[1]] = state

    carried = adam.rescaled(states[4], large, params)

    np.testing.assert_allclose(carried.mean, states[8].mean, rtol=1e-5)
    np.testing.assert_allclose(carried.square, states[8].square, rtol=1e-5)
