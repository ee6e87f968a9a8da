"""A picture being painted: the optimizer's state and the running average of its iterates.

Either optimizer is driven through the same few functions. Everything here is per picture of a batch.

Invariant: a painting's arrays are all that its next update depends on, so saving and restoring them changes
nothing, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.painting.params import StyleParams
from worker.engine.objective.objective import PICTURES, SCALAR, Recipe, Weights, weights_spec
from worker.engine.optimizers.adam import Adam
from worker.engine.optimizers.lbfgs import Lbfgs


class Optimizer(Protocol):
    """What turns a gradient into the next picture. `state_type` is a NamedTuple whose first field is `picture`."""

    settings_spec: Any
    state_spec: Any
    state_type: Any
    #: Whether a pixel's update depends on nothing but that pixel, so that a picture may be updated in parts.
    by_pixel: bool

    def settings(self, params: StyleParams) -> Any:
        """Take the settings from `params`, as tensors."""

    def start(self, picture: Any, params: StyleParams) -> Any:
        """Begin at `picture`."""

    def carried(self, state: Any, picture: Any, params: StyleParams) -> Any:
        """Begin at a `picture` of another size with what was learned at the last."""

    def shown(self, state: Any) -> Any:
        """Show the best picture known."""

    def update(self, settings: Any, state: Any, losses: Any, gradient: Any, number: Any, rate: Any) -> Any:
        """Make update `number`, counted from 1; `losses` `[batch]` belong to the picture before it."""


OPTIMIZERS: dict[str, Optimizer] = {"adam": Adam(), "lbfgs": Lbfgs()}


class Settings(NamedTuple):
    """The numbers of a run that are arguments of its computation: changing one compiles nothing anew.

    `rates` are the learning rates of a scale's updates, `decay` is the average's.
    """

    weights: Weights
    optimizer: Any
    rates: Any
    decay: Any

    @classmethod
    def of(cls, params: StyleParams) -> Settings:
        """Take the settings from `params`."""
        optimizer = OPTIMIZERS[params.optimizer].settings(params)
        rates = tf.constant(learning_rates(params), tf.float32)
        return cls(Weights.of(params), optimizer, rates, tf.constant(params.averaging, tf.float32))

    @classmethod
    def spec(cls, recipe: Recipe) -> Settings:
        """Describe the settings for compiling."""
        return cls(weights_spec(recipe), OPTIMIZERS[recipe.optimizer].settings_spec, tf.TensorSpec([None]), SCALAR)


def learning_rates(params: StyleParams) -> NDArray[np.float32]:
    """List the rate of each step of a scale: constant, or falling geometrically to the final one."""
    final = params.learning_rate if params.final_learning_rate is None else params.final_learning_rate
    return np.geomspace(params.learning_rate, final, params.steps, dtype=np.float32)


class Painting(NamedTuple):
    """An optimizer's state, and the sum of iterates weighted by their age; that is empty where nothing is averaged."""

    state: Any
    average: Any

    @property
    def picture(self) -> Any:
        """The latest iterate, `[batch, height, width, 3]` in 0 to 1."""
        return self.state.picture

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copy everything from the device, for a snapshot."""
        return {name: np.asarray(tensor) for name, tensor in (*self.state._asdict().items(), ("average", self.average))}


def start(picture: Any, params: StyleParams) -> Painting:
    """Begin at `picture`."""
    return Painting(OPTIMIZERS[params.optimizer].start(picture, params), _no_average(picture, params))


def carried(painting: Painting, picture: Any, params: StyleParams) -> Painting:
    """Begin the next scale at `picture`: the optimizer's knowledge is kept, the average begins anew."""
    state = OPTIMIZERS[params.optimizer].carried(painting.state, picture, params)
    return Painting(state, _no_average(picture, params))


def restored(arrays: Mapping[str, NDArray[Any]], params: StyleParams) -> Painting:
    """Go on from the arrays of a snapshot."""
    kind = OPTIMIZERS[params.optimizer].state_type
    return Painting(kind(*(tf.constant(arrays[name]) for name in kind._fields)), tf.constant(arrays["average"]))


def updated(painting: Painting, state: Any, shown: Any, decay: Any) -> Painting:
    """Take the optimizer's next `state`, and what it shows into the average."""
    return Painting(state, decay * painting.average + (1.0 - decay) * shown)


def result(painting: Painting, done: int, params: StyleParams) -> Any:
    """Return the pictures to show after `done` updates of this scale: the average, its bias corrected, or the last."""
    if not params.averaging or not done:
        return OPTIMIZERS[params.optimizer].shown(painting.state)
    return painting.average / (1.0 - params.averaging**done)


def spec(recipe: Recipe) -> Painting:
    """Describe a painting of any size for compiling."""
    return Painting(OPTIMIZERS[recipe.optimizer].state_spec, PICTURES)


def joined(paintings: Sequence[Painting]) -> Painting:
    """Put pictures side by side in one batch."""
    if len(paintings) == 1:
        return paintings[0]
    batch: Painting = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *paintings)
    return batch


def parted(painting: Painting, count: int) -> list[Painting]:
    """Take a batch of `count` apart again."""
    if count == 1:
        return [painting]
    return [tf.nest.map_structure(lambda part, n=number: part[n : n + 1], painting) for number in range(count)]


def _no_average(picture: Any, params: StyleParams) -> Any:
    return tf.zeros_like(picture) if params.averaging else tf.zeros_like(picture[:, :0, :0])
