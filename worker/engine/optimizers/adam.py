"""Adam on pictures, as `keras.optimizers.Adam` computes it, then clipped to the range of a picture.

Source: Kingma and Ba 2015, algorithm 1 with the bias correction folded into the step (end of section 2), which
is also where Keras puts epsilon. Written out because the state must live inside a compiled loop whose shapes
change from scale to scale; a Keras optimizer keeps variables of a fixed shape.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from shared.painting.params import StyleParams
from worker.engine.objective.objective import PICTURES, SCALAR


class AdamSettings(NamedTuple):
    """Adam's settings, as scalar tensors, so that changing one compiles nothing anew.

    The shares of a new gradient, 1 - β, come along because Keras takes them in double precision, and so do we.
    """

    beta_1: Any
    beta_2: Any
    share_1: Any
    share_2: Any
    epsilon: Any


class AdamState(NamedTuple):
    """Pictures being painted, `[batch, height, width, 3]` in 0 to 1, with Adam's two moments of that shape."""

    picture: Any
    mean: Any
    square: Any


class Adam:
    """Updates whose size the running moments of the gradient decide, pixel by pixel."""

    settings_spec = AdamSettings(*[SCALAR] * len(AdamSettings._fields))
    state_spec = AdamState(PICTURES, PICTURES, PICTURES)
    state_type = AdamState
    by_pixel = True

    def settings(self, params: StyleParams) -> AdamSettings:
        """Take the settings from `params`."""
        values = params.beta_1, params.beta_2, 1 - params.beta_1, 1 - params.beta_2, params.epsilon
        return AdamSettings(*(tf.constant(value, tf.float32) for value in values))

    def start(self, picture: Any, params: StyleParams) -> AdamState:  # noqa: ARG002 - the protocol's
        """Begin at `picture` with no momentum."""
        return AdamState(picture, tf.zeros_like(picture), tf.zeros_like(picture))

    def carried(self, state: AdamState, picture: Any, params: StyleParams) -> AdamState:  # noqa: ARG002
        """Take the moments along to a `picture` of another size.

        A loss is a mean, so a pixel's gradient falls as their number grows, and the moments with it.
        """
        before, now = tf.shape(state.picture), tf.shape(picture)
        share = tf.cast(before[1] * before[2], tf.float32) / tf.cast(now[1] * now[2], tf.float32)
        mean, square = (tf.image.resize(moment, now[1:3]) for moment in (state.mean, state.square))
        return AdamState(picture, mean * share, square * share * share)

    def shown(self, state: AdamState) -> Any:
        """Show the latest iterate."""
        return state.picture

    def update(
        self, settings: AdamSettings, state: AdamState, losses: Any, gradient: Any, number: Any, rate: Any
    ) -> AdamState:
        """Make update `number`, which counts from 1 and sets the bias correction."""
        del losses
        mean = state.mean + (gradient - state.mean) * settings.share_1
        square = state.square + (tf.square(gradient) - state.square) * settings.share_2
        count = tf.cast(number, tf.float32)
        rate *= tf.sqrt(1.0 - tf.pow(settings.beta_2, count)) / (1.0 - tf.pow(settings.beta_1, count))
        picture = state.picture - mean * rate / (tf.sqrt(square) + settings.epsilon)
        return AdamState(tf.clip_by_value(picture, 0.0, 1.0), mean, square)
