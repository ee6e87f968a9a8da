"""Adam on images, as `keras.optimizers.Adam` computes it, with each update clipped to 0 to 1.

Source: Kingma and Ba 2015, algorithm 1 with the bias correction folded into the step size (end of section 2), which
is also where Keras adds epsilon. It is written out because its state lives inside a compiled loop and changes shape
from scale to scale; a Keras optimizer keeps variables of a fixed shape.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from shared.painting.params import StyleParams
from worker.engine.objective.total_loss import IMAGES_SPEC, SCALAR_SPEC


class AdamHyperparameters(NamedTuple):
    """Adam's hyperparameters as scalar tensors, so that changing one compiles nothing anew.

    1 - β is passed along with β because Keras computes it in double precision.
    """

    beta_1: Any
    beta_2: Any
    one_minus_beta_1: Any
    one_minus_beta_2: Any
    epsilon: Any


class AdamState(NamedTuple):
    """The images and the first and second moments of their gradients, each `[batch, height, width, 3]`."""

    image: Any
    mean: Any
    square: Any


class Adam:
    """Scales each pixel's step by the running moments of its gradient."""

    hparams_spec = AdamHyperparameters(*[SCALAR_SPEC] * len(AdamHyperparameters._fields))
    state_spec = AdamState(IMAGES_SPEC, IMAGES_SPEC, IMAGES_SPEC)
    elementwise = True

    def hparams(self, params: StyleParams) -> AdamHyperparameters:
        """Build the hyperparameters from `params`."""
        values = params.beta_1, params.beta_2, 1 - params.beta_1, 1 - params.beta_2, params.epsilon
        return AdamHyperparameters(*(tf.constant(value, tf.float32) for value in values))

    def start(self, image: Any, params: StyleParams) -> AdamState:  # noqa: ARG002 - the protocol's
        """Start at `image` with moments of 0."""
        return AdamState(image, tf.zeros_like(image), tf.zeros_like(image))

    def rescaled(self, state: AdamState, image: Any, params: StyleParams) -> AdamState:  # noqa: ARG002
        """Continue at an `image` of another size with resized moments.

        The loss is a mean over pixels, so gradients and their moments shrink as the number of pixels grows.
        """
        before, after = tf.shape(state.image), tf.shape(image)
        ratio = tf.cast(before[1] * before[2], tf.float32) / tf.cast(after[1] * after[2], tf.float32)
        mean, square = (tf.image.resize(moment, after[1:3]) for moment in (state.mean, state.square))
        return AdamState(image, mean * ratio, square * ratio * ratio)

    def best_image(self, state: AdamState) -> Any:
        """Return the latest iterate."""
        return state.image

    def update(
        self, hparams: AdamHyperparameters, state: AdamState, losses: Any, gradient: Any, number: Any, rate: Any
    ) -> AdamState:
        """Make update `number`, counted from 1, which sets the bias correction."""
        del losses
        mean = state.mean + (gradient - state.mean) * hparams.one_minus_beta_1
        square = state.square + (tf.square(gradient) - state.square) * hparams.one_minus_beta_2
        t = tf.cast(number, tf.float32)
        rate *= tf.sqrt(1.0 - tf.pow(hparams.beta_2, t)) / (1.0 - tf.pow(hparams.beta_1, t))
        image = state.image - mean * rate / (tf.sqrt(square) + hparams.epsilon)
        return AdamState(tf.clip_by_value(image, 0.0, 1.0), mean, square)
