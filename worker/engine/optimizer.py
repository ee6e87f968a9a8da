"""Adam on one picture, as `keras.optimizers.Adam` computes it, then clipped to the range of a picture.

Source: Kingma and Ba 2015, algorithm 1 with the bias correction folded into the step (end of section 2), which
is also where Keras puts epsilon. Written out because the state must live inside a compiled loop whose shapes
change from scale to scale; a Keras optimizer keeps variables of a fixed shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.params import StyleParams


class Adam(NamedTuple):
    """Adam's settings, as scalar tensors, so that changing one compiles nothing anew.

    The shares of a new gradient, 1 - β, come along because Keras takes them in double precision, and so do we.
    """

    beta_1: Any
    beta_2: Any
    share_1: Any
    share_2: Any
    epsilon: Any

    @classmethod
    def of(cls, params: StyleParams) -> Adam:
        """Take the settings from `params`."""
        values = params.beta_1, params.beta_2, 1 - params.beta_1, 1 - params.beta_2, params.epsilon
        return cls(*(tf.constant(value, tf.float32) for value in values))


class State(NamedTuple):
    """A picture being painted, `[1, height, width, 3]` in 0 to 1, with Adam's two moments of that shape."""

    picture: Any
    mean: Any
    square: Any

    @classmethod
    def start(cls, picture: Any) -> State:
        """Begin at `picture` with no momentum."""
        return cls(picture, tf.zeros_like(picture), tf.zeros_like(picture))

    @classmethod
    def restored(cls, arrays: Mapping[str, NDArray[Any]]) -> State:
        """Go on from the arrays of a snapshot."""
        return cls(*(tf.constant(arrays[name], tf.float32) for name in cls._fields))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copy the state from the device, for a snapshot."""
        return {name: tensor.numpy() for name, tensor in self._asdict().items()}


def update(adam: Adam, state: State, gradient: Any, step: Any, learning_rate: Any) -> State:
    """Make update number `step`, which counts from 1 and sets the bias correction."""
    mean = state.mean + (gradient - state.mean) * adam.share_1
    square = state.square + (tf.square(gradient) - state.square) * adam.share_2
    number = tf.cast(step, tf.float32)
    rate = learning_rate * tf.sqrt(1.0 - tf.pow(adam.beta_2, number)) / (1.0 - tf.pow(adam.beta_1, number))
    picture = state.picture - mean * rate / (tf.sqrt(square) + adam.epsilon)
    return State(tf.clip_by_value(picture, 0.0, 1.0), mean, square)


def learning_rates(params: StyleParams) -> NDArray[np.float32]:
    """List the rate of each step of a scale: constant, or falling geometrically to the final one."""
    final = params.learning_rate if params.final_learning_rate is None else params.final_learning_rate
    return np.geomspace(params.learning_rate, final, params.steps, dtype=np.float32)
