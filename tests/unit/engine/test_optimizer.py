import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.params import StyleParams, resolve
from worker.engine.optimizer import Adam, State, learning_rates, update


@pytest.mark.parametrize("params", [resolve("classic"), resolve("balanced")])
def test_updates_are_those_of_keras_adam_then_clipped(params: StyleParams) -> None:
    rng = np.random.default_rng(0)
    start = tf.constant(rng.uniform(size=(1, 4, 5, 3)), tf.float32)
    keras_adam = keras.optimizers.Adam(params.learning_rate, params.beta_1, params.beta_2, epsilon=params.epsilon)
    expected, state = tf.Variable(start), State.start(start)

    for step in range(1, 21):
        gradient = tf.constant(rng.normal(size=start.shape), tf.float32)
        keras_adam.apply_gradients([(gradient, expected)])
        expected.assign(tf.clip_by_value(expected, 0.0, 1.0))
        state = update(Adam.of(params), state, gradient, step, params.learning_rate)

    np.testing.assert_allclose(state.picture, expected, atol=1e-6)


def test_the_learning_rate_stays_unless_told_to_fall() -> None:
    assert set(learning_rates(StyleParams(learning_rate=0.03, steps=7)).tolist()) == {np.float32(0.03)}


def test_the_learning_rate_falls_geometrically_to_the_final_one() -> None:
    rates = learning_rates(StyleParams(learning_rate=0.08, final_learning_rate=0.01, steps=4))

    np.testing.assert_allclose(rates, [0.08, 0.04, 0.02, 0.01], rtol=1e-6)
