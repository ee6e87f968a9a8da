"""L-BFGS on pictures: updates that learn the loss's curvature from the gradients of the last few.

Every update has one gradient, as Adam's have, so that steps cost the same and come in chunks of any length. Instead
of a line search, each picture is a trial: where its loss turns out above the last good picture's, that one is gone
back to, and a shorter way is tried from there with what the failure taught.

Source: Nocedal and Wright 2006, algorithm 7.4 (the two loops) and equation 7.20 (the scale); Bertsekas 1982 for
the pixels held at their bounds.

Limits: the history takes 2 · `lbfgs_history` pictures of memory for each. The picture to show is the last good one,
so that the last update of a run is never seen.

Invariant: the kept pairs have positive curvature, so the way taken leads downhill, and the trial gets shorter until
the loss falls.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from shared.painting.params import StyleParams
from worker.engine.objective.objective import PICTURES

#: Largest change of a pixel by the first update, when nothing is known of the curvature.
FIRST_CHANGE = 0.1
#: Largest change of a pixel by any update, in units of the picture's range.
MOST_CHANGE = 0.5
#: A failed trial's successor is this share of it, at least and at most.
LEAST_SHARE, MOST_SHARE = 0.1, 0.5
#: Share by which a loss may rise through rounding alone.
ROUNDING = 1e-6
#: Cosine of step and change of gradient below which a pair is rounding, not curvature.
LEAST_COSINE = 1e-10

_EACH = tf.TensorSpec([None])


class LbfgsState(NamedTuple):
    """Pictures on trial and the last good ones, `[batch, height, width, 3]` in 0 to 1, and what is known of each.

    `gradient` and `loss` are those of the `good` picture. The history is a ring of `steps` and the `changes` of the
    gradient along them, `[batch, history, height · width · 3]`, each with the reciprocal of their product as its
    `weight` `[batch, history]`, which is 0 where there is none; `taken` counts the pairs put in. `scale` is the newest
    pair's estimate of the inverse curvature, 0 if there is none. `reach` is how far a pixel may be moved by the next
    update. All others are `[batch]`.
    """

    picture: Any
    good: Any
    gradient: Any
    loss: Any
    steps: Any
    changes: Any
    weights: Any
    taken: Any
    scale: Any
    reach: Any


class Lbfgs:
    """Updates along the inverse curvature, as far as it can be trusted. The learning rate is Adam's: not used here."""

    #: The history's products are over the whole picture.
    by_pixel = False
    settings_spec = ()
    state_spec = LbfgsState(
        picture=PICTURES,
        good=PICTURES,
        gradient=PICTURES,
        loss=_EACH,
        steps=tf.TensorSpec([None, None, None]),
        changes=tf.TensorSpec([None, None, None]),
        weights=tf.TensorSpec([None, None]),
        taken=tf.TensorSpec([None], tf.int32),
        scale=_EACH,
        reach=_EACH,
    )
    state_type = LbfgsState

    def settings(self, params: StyleParams) -> tuple[()]:  # noqa: ARG002 - the protocol's
        """Take nothing: the history's length is that of the state."""
        return ()

    def start(self, picture: Any, params: StyleParams) -> LbfgsState:
        """Begin at `picture` with an empty history; it is good whatever its loss is."""
        picture = tf.convert_to_tensor(picture)
        count, values = tf.shape(picture)[0], tf.size(picture[0])
        history = tf.zeros([count, params.lbfgs_history, values])
        return LbfgsState(
            picture=picture,
            good=picture,
            gradient=tf.zeros_like(picture),
            loss=tf.fill([count], float("inf")),
            steps=history,
            changes=history,
            weights=tf.zeros([count, params.lbfgs_history]),
            taken=tf.zeros([count], tf.int32),
            scale=tf.zeros([count]),
            # the first picture is taken for good, which doubles it
            reach=tf.fill([count], FIRST_CHANGE / 2.0),
        )

    def carried(self, state: LbfgsState, picture: Any, params: StyleParams) -> LbfgsState:
        """Begin anew at a `picture` of another size, with the scale alone: pairs of another size mean nothing.

        A loss is a mean, so a pixel's gradient falls as their number grows, and the inverse curvature grows with it.
        """
        fresh = self.start(picture, params)
        share = tf.cast(tf.size(fresh.picture), tf.float32) / tf.cast(tf.size(state.picture), tf.float32)
        return fresh._replace(scale=state.scale * share)

    def shown(self, state: LbfgsState) -> Any:
        """Show the last good picture: the one on trial is not judged yet."""
        return state.good

    def update(
        self, settings: tuple[()], state: LbfgsState, losses: Any, gradient: Any, number: Any, rate: Any
    ) -> LbfgsState:
        """Judge the picture on trial by its loss and learn from its gradient; set out on the next trial."""
        del settings, number, rate
        state = _judged(_learned(state, gradient), losses, gradient)
        way = _way(state)
        share = tf.minimum(1.0, tf.math.divide_no_nan(state.reach, _largest(way)))
        return state._replace(picture=tf.clip_by_value(state.good + _per_pixel(share) * way, 0.0, 1.0))


def _learned(state: LbfgsState, gradient: Any) -> LbfgsState:
    """Put the pair of the picture on trial into the history, over the oldest.

    A pair without curvature, as the first one, or one that is not finite goes in as zeros, which change nothing.
    """
    step = _flat(state.picture - state.good)
    # where a bound kept a pixel, its gradient's change says nothing of the curvature along the step
    change = tf.where(step != 0.0, _flat(gradient - state.gradient), 0.0)
    along, square = _product(step, change), _product(change, change)
    real = along > LEAST_COSINE * tf.sqrt(_product(step, step)) * tf.sqrt(square)
    place = state.taken % tf.shape(state.weights)[1]
    places = tf.stack([tf.range(tf.size(place)), place], axis=1)

    def put(ring: Any, value: Any) -> Any:
        kept = real if ring is state.weights else real[:, tf.newaxis]
        return tf.tensor_scatter_nd_update(ring, places, tf.where(kept, value, 0.0))

    return state._replace(
        steps=put(state.steps, step),
        changes=put(state.changes, change),
        weights=put(state.weights, 1.0 / along),
        taken=state.taken + tf.cast(real, tf.int32),
        scale=tf.where(real, along / square, state.scale),
    )


def _judged(state: LbfgsState, loss: Any, gradient: Any) -> LbfgsState:
    """Take the picture on trial for good, and dare more; or keep the last good one, and dare less.

    After a failure, the reach is where the parabola through both losses and the gradient has its least.
    """
    fell = loss <= state.loss * (1.0 + ROUNDING)
    step = state.picture - state.good
    slope = _product(_flat(step), _flat(state.gradient))
    least = -0.5 * slope / (loss - state.loss - slope)
    # a share that is not a number is no larger than the least, and becomes it
    share = tf.where(least > LEAST_SHARE, tf.minimum(least, MOST_SHARE), LEAST_SHARE)
    return state._replace(
        good=tf.where(_per_pixel(fell), state.picture, state.good),
        gradient=tf.where(_per_pixel(fell), gradient, state.gradient),
        loss=tf.where(fell, loss, state.loss),
        reach=tf.where(fell, tf.minimum(2.0 * state.reach, MOST_CHANGE), share * _largest(step)),
    )


def _way(state: LbfgsState) -> Any:
    """Tell how the good pictures should change: downhill, by the inverse curvature, within the bounds."""
    good, gradient = state.good, state.gradient
    held = ((good <= 0.0) & (gradient > 0.0)) | ((good >= 1.0) & (gradient < 0.0))
    free = tf.where(held, 0.0, gradient)
    # without a pair, the pixel of the largest gradient goes as far as it may
    scale = tf.where(state.scale > 0.0, state.scale, tf.math.divide_no_nan(state.reach, _largest(free)))
    way = tf.where(held, 0.0, tf.reshape(_two_loops(state, _flat(free), scale), tf.shape(good)))
    downhill = _product(_flat(way), _flat(free)) > 0.0
    return -tf.where(_per_pixel(downhill), way, _per_pixel(scale) * free)


def _two_loops(state: LbfgsState, gradient: Any, scale: Any) -> Any:
    """Multiply gradients `[batch, height · width · 3]` by the inverse curvature."""
    length = tf.shape(state.weights)[1]

    def of_age(age: Any, ring: Any) -> Any:
        return tf.gather(ring, (state.taken - 1 - age) % length, batch_dims=1)

    def back(age: Any, rest: Any, shares: Any) -> tuple[Any, Any, Any]:
        share = of_age(age, state.weights) * _product(of_age(age, state.steps), rest)
        return age + 1, rest - share[:, tf.newaxis] * of_age(age, state.changes), shares.write(age, share)

    def forth(age: Any, way: Any) -> tuple[Any, Any]:
        lacking = shares.read(age) - of_age(age, state.weights) * _product(of_age(age, state.changes), way)
        return age - 1, way + lacking[:, tf.newaxis] * of_age(age, state.steps)

    shares = tf.TensorArray(tf.float32, size=length, element_shape=[None], clear_after_read=False)
    _, rest, shares = tf.while_loop(lambda age, *_: age < length, back, (0, gradient, shares), parallel_iterations=1)
    way = scale[:, tf.newaxis] * rest
    _, way = tf.while_loop(lambda age, _: age >= 0, forth, (length - 1, way), parallel_iterations=1)
    return way


def _product(one: Any, other: Any) -> Any:
    """Multiply vectors `[batch, length]`."""
    return tf.reduce_sum(one * other, axis=1)


def _largest(pictures: Any) -> Any:
    """Find the largest change of a pixel, whichever way: `[batch]`."""
    return tf.reduce_max(tf.abs(pictures), axis=[1, 2, 3])


def _flat(pictures: Any) -> Any:
    """Make a vector of each picture."""
    return tf.reshape(pictures, [tf.shape(pictures)[0], -1])


def _per_pixel(values: Any) -> Any:
    """Spread `[batch]` over pictures."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
