"""L-BFGS on images: updates along the inverse curvature that the last few gradients reveal.

Every update uses one gradient, as Adam's do, so steps cost the same and chunks may have any length. Instead of a line
search, each iterate is a trial: if its loss is above that of the last accepted image, the next trial starts from that
image again with a shorter step.

Source: Nocedal and Wright 2006, algorithm 7.4 (two-loop recursion), equation 7.20 (γ, the initial scaling) and
section 3.5 (the backtracked step minimizes a quadratic interpolation); Bertsekas 1982 for pixels held at their bounds.

Limits: the history takes 2 · `lbfgs_history` images of memory for each image. The result is the last accepted image,
so the last update of a run is never used.

Invariant: every stored pair has positive curvature, so the direction is one of descent; trials get shorter until the
loss falls.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from shared.painting.params import StyleParams
from worker.engine.objective.total_loss import IMAGES_SPEC

#: Largest change of a pixel, of 0 to 1, in the first update, when the curvature is unknown.
FIRST_STEP = 0.1
#: Largest change of a pixel in any update.
MAX_STEP = 0.5
#: The step after a rejected trial is at least and at most this fraction of it.
MIN_BACKTRACK, MAX_BACKTRACK = 0.1, 0.5
#: Relative rise of the loss that is put down to rounding.
LOSS_TOLERANCE = 1e-6
#: Cosine between a step and its change of gradient below which the pair is rounding rather than curvature.
MIN_CURVATURE_COSINE = 1e-10

_PER_IMAGE = tf.TensorSpec([None])


class LbfgsState(NamedTuple):
    """The trial images, the last accepted ones and the history of each.

    `image` (the trial), `accepted` and `gradient` are `[batch, height, width, 3]`; `gradient` and `loss` are those of
    the accepted image. The history is a ring buffer of `steps` (s) and `gradient_changes` (y),
    `[batch, history, height · width · 3]`, and of `rho` = 1 / (s · y) `[batch, history]`, 0 for an empty slot.
    `pair_count` counts the pairs stored so far, `gamma` is the newest pair's estimate of the inverse curvature, 0
    before there is one, and `trust_radius` is the largest change of a pixel in the next update; these three and
    `loss` are `[batch]`.
    """

    image: Any
    accepted: Any
    gradient: Any
    loss: Any
    steps: Any
    gradient_changes: Any
    rho: Any
    pair_count: Any
    gamma: Any
    trust_radius: Any


class Lbfgs:
    """Steps along the inverse curvature within a trust radius. The learning rate is Adam's and is not used."""

    #: The history's inner products run over the whole image.
    elementwise = False
    hparams_spec = ()
    state_spec = LbfgsState(
        image=IMAGES_SPEC,
        accepted=IMAGES_SPEC,
        gradient=IMAGES_SPEC,
        loss=_PER_IMAGE,
        steps=tf.TensorSpec([None, None, None]),
        gradient_changes=tf.TensorSpec([None, None, None]),
        rho=tf.TensorSpec([None, None]),
        pair_count=tf.TensorSpec([None], tf.int32),
        gamma=_PER_IMAGE,
        trust_radius=_PER_IMAGE,
    )

    def hparams(self, params: StyleParams) -> tuple[()]:  # noqa: ARG002 - the protocol's
        """Return nothing: the state's shape sets the length of the history."""
        return ()

    def start(self, image: Any, params: StyleParams) -> LbfgsState:
        """Start at `image` with an empty history; the image is accepted whatever its loss."""
        image = tf.convert_to_tensor(image)
        count, values = tf.shape(image)[0], tf.size(image[0])
        history = tf.zeros([count, params.lbfgs_history, values])
        return LbfgsState(
            image=image,
            accepted=image,
            gradient=tf.zeros_like(image),
            loss=tf.fill([count], float("inf")),
            steps=history,
            gradient_changes=history,
            rho=tf.zeros([count, params.lbfgs_history]),
            pair_count=tf.zeros([count], tf.int32),
            gamma=tf.zeros([count]),
            # doubled when the first image is accepted
            trust_radius=tf.fill([count], FIRST_STEP / 2.0),
        )

    def rescaled(self, state: LbfgsState, image: Any, params: StyleParams) -> LbfgsState:
        """Start again at an `image` of another size, with the pairs of the history resized to it.

        The loss is a mean over pixels, so gradients shrink and the inverse curvature grows with their number.
        """
        fresh = self.start(image, params)
        ratio = float(np.prod(fresh.image.shape) / np.prod(state.image.shape))
        steps = _resized_history(state, state.steps, fresh)
        changes = _resized_history(state, state.gradient_changes, fresh) / ratio
        curvature = tf.reduce_sum(steps * changes, axis=2)
        usable = curvature > MIN_CURVATURE_COSINE * tf.norm(steps, axis=2) * tf.norm(changes, axis=2)
        return fresh._replace(
            steps=steps,
            gradient_changes=changes,
            # without curvature a pair changes nothing
            rho=tf.where(usable, 1.0 / curvature, 0.0),
            pair_count=tf.fill(tf.shape(fresh.pair_count), _carried(state, fresh)),
            gamma=state.gamma * ratio,
        )

    def best_image(self, state: LbfgsState) -> Any:
        """Return the last accepted image: the loss of the trial is not known yet."""
        return state.accepted

    def update(
        self, hparams: tuple[()], state: LbfgsState, losses: Any, gradient: Any, number: Any, rate: Any
    ) -> LbfgsState:
        """Learn from the trial's gradient, accept or reject it by its loss, and set the next trial."""
        del hparams, number, rate
        state = _accept_or_backtrack(_update_history(state, gradient), losses, gradient)
        direction = _direction(state)
        length = tf.minimum(1.0, tf.math.divide_no_nan(state.trust_radius, _max_change(direction)))
        return state._replace(image=tf.clip_by_value(state.accepted + _per_pixel(length) * direction, 0.0, 1.0))


def _carried(state: LbfgsState, fresh: LbfgsState) -> int:
    """Return how many pairs of the history fit in that of another size."""
    return int(min(state.rho.shape[1], fresh.rho.shape[1]))


def _resized_history(state: LbfgsState, ring: Any, fresh: LbfgsState) -> Any:
    """Return the newest pairs of one part of the history, the oldest first, in the shape of `fresh`'s."""
    ages = np.arange(_carried(state, fresh))[::-1]
    slots = (np.asarray(state.pair_count)[:, np.newaxis] - 1 - ages) % state.rho.shape[1]
    pairs = tf.gather(ring, slots, batch_dims=1)
    images = tf.image.resize(tf.reshape(pairs, [-1, *state.image.shape[1:]]), fresh.image.shape[1:3])
    kept = tf.reshape(images, [fresh.rho.shape[0], len(ages), -1])
    return tf.pad(kept, [[0, 0], [0, fresh.rho.shape[1] - len(ages)], [0, 0]])


def _update_history(state: LbfgsState, gradient: Any) -> LbfgsState:
    """Store the trial's pair over the oldest one.

    A pair without curvature, such as the first, or one that is not finite is stored as zeros, which change nothing.
    """
    step = _flat(state.image - state.accepted)
    # a pixel held at its bound did not move: its gradient's change says nothing of the curvature along the step
    change = tf.where(step != 0.0, _flat(gradient - state.gradient), 0.0)
    curvature, square = _dot(step, change), _dot(change, change)
    usable = curvature > MIN_CURVATURE_COSINE * tf.sqrt(_dot(step, step)) * tf.sqrt(square)
    slot = state.pair_count % tf.shape(state.rho)[1]
    slots = tf.stack([tf.range(tf.size(slot)), slot], axis=1)

    def put(ring: Any, value: Any) -> Any:
        kept = usable if ring is state.rho else usable[:, tf.newaxis]
        return tf.tensor_scatter_nd_update(ring, slots, tf.where(kept, value, 0.0))

    return state._replace(
        steps=put(state.steps, step),
        gradient_changes=put(state.gradient_changes, change),
        rho=put(state.rho, 1.0 / curvature),
        pair_count=state.pair_count + tf.cast(usable, tf.int32),
        gamma=tf.where(usable, curvature / square, state.gamma),
    )


def _accept_or_backtrack(state: LbfgsState, loss: Any, gradient: Any) -> LbfgsState:
    """Accept the trial and double the trust radius, or keep the last accepted image and shrink the radius.

    After a rejection the radius is where the parabola through both losses and the old gradient has its minimum.
    """
    accepted = loss <= state.loss * (1.0 + LOSS_TOLERANCE)
    step = state.image - state.accepted
    slope = _dot(_flat(step), _flat(state.gradient))
    minimum = -0.5 * slope / (loss - state.loss - slope)
    # a comparison with NaN is false, so a loss that is not a number shortens the step as far as is allowed
    fraction = tf.where(minimum > MIN_BACKTRACK, tf.minimum(minimum, MAX_BACKTRACK), MIN_BACKTRACK)
    return state._replace(
        accepted=tf.where(_per_pixel(accepted), state.image, state.accepted),
        gradient=tf.where(_per_pixel(accepted), gradient, state.gradient),
        loss=tf.where(accepted, loss, state.loss),
        trust_radius=tf.where(accepted, tf.minimum(2.0 * state.trust_radius, MAX_STEP), fraction * _max_change(step)),
    )


def _direction(state: LbfgsState) -> Any:
    """Return the quasi-Newton direction of descent at the accepted images, with pixels held at their bounds."""
    image, gradient = state.accepted, state.gradient
    held = ((image <= 0.0) & (gradient > 0.0)) | ((image >= 1.0) & (gradient < 0.0))
    free = tf.where(held, 0.0, gradient)
    # without a pair, the pixel with the largest gradient moves by the trust radius
    gamma = tf.where(state.gamma > 0.0, state.gamma, tf.math.divide_no_nan(state.trust_radius, _max_change(free)))
    ascent = tf.where(held, 0.0, tf.reshape(_two_loop_recursion(state, _flat(free), gamma), tf.shape(image)))
    # where that does not descend, fall back on the gradient
    usable = _dot(_flat(ascent), _flat(free)) > 0.0
    return -tf.where(_per_pixel(usable), ascent, _per_pixel(gamma) * free)


def _two_loop_recursion(state: LbfgsState, gradient: Any, gamma: Any) -> Any:
    """Multiply gradients `[batch, height · width · 3]` by the inverse Hessian."""
    length = tf.shape(state.rho)[1]

    def at(age: Any, ring: Any) -> Any:
        return tf.gather(ring, (state.pair_count - 1 - age) % length, batch_dims=1)

    def backward(age: Any, q: Any, alphas: Any) -> tuple[Any, Any, Any]:
        alpha = at(age, state.rho) * _dot(at(age, state.steps), q)
        return age + 1, q - alpha[:, tf.newaxis] * at(age, state.gradient_changes), alphas.write(age, alpha)

    def forward(age: Any, r: Any) -> tuple[Any, Any]:
        difference = alphas.read(age) - at(age, state.rho) * _dot(at(age, state.gradient_changes), r)
        return age - 1, r + difference[:, tf.newaxis] * at(age, state.steps)

    alphas = tf.TensorArray(tf.float32, size=length, element_shape=[None], clear_after_read=False)
    _, q, alphas = tf.while_loop(lambda age, *_: age < length, backward, (0, gradient, alphas), parallel_iterations=1)
    r = gamma[:, tf.newaxis] * q
    _, r = tf.while_loop(lambda age, _: age >= 0, forward, (length - 1, r), parallel_iterations=1)
    return r


def _dot(a: Any, b: Any) -> Any:
    """Return the inner products of vectors `[batch, length]`: `[batch]`."""
    return tf.reduce_sum(a * b, axis=1)


def _max_change(images: Any) -> Any:
    """Return the largest absolute value of each image: `[batch]`."""
    return tf.reduce_max(tf.abs(images), axis=[1, 2, 3])


def _flat(images: Any) -> Any:
    return tf.reshape(images, [tf.shape(images)[0], -1])


def _per_pixel(values: Any) -> Any:
    """Reshape `[batch]` so that it broadcasts over images."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
