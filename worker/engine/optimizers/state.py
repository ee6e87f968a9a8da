"""The state of an optimization, the same for either optimizer, and the running average of its iterates.

Every array has one entry per image of the batch.

Invariant: the arrays of an `OptimizerState` are all that the next update depends on, so saving and restoring them
changes nothing, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shared.painting.params import StyleParams
from worker.engine.objective.total_loss import SCALAR_SPEC, LossWeights, ObjectiveSpec, weights_spec
from worker.engine.optimizers.adam import Adam
from worker.engine.optimizers.lbfgs import Lbfgs


class Optimizer(Protocol):
    """Turns a gradient into the next image. Its state is a NamedTuple whose first field is `image`."""

    hparams_spec: Any
    state_spec: Any
    #: Whether a pixel's update depends on that pixel alone, so that an image may be updated in parts.
    elementwise: bool

    def hparams(self, params: StyleParams) -> Any:
        """Build the optimizer's hyperparameters, as tensors."""

    def start(self, image: Any, params: StyleParams) -> Any:
        """Start at `image`."""

    def rescaled(self, state: Any, image: Any, params: StyleParams) -> Any:
        """Continue at an `image` of another size with what carries over from `state`."""

    def best_image(self, state: Any) -> Any:
        """Return the best image known."""

    def update(self, hparams: Any, state: Any, losses: Any, gradient: Any, number: Any, rate: Any) -> Any:
        """Make update `number`, counted from 1; `losses` `[batch]` and `gradient` are those of `state.image`."""


OPTIMIZERS: dict[str, Optimizer] = {"adam": Adam(), "lbfgs": Lbfgs()}


class Hyperparameters(NamedTuple):
    """The numbers of a run as arguments of the compiled step: changing one compiles nothing anew.

    `rates` `[steps]` are the learning rates of a scale, `decay` is that of the average.
    """

    weights: LossWeights
    optimizer: Any
    rates: Any
    decay: Any

    @classmethod
    def from_params(cls, params: StyleParams, steps: int) -> Hyperparameters:
        """Build the hyperparameters of a scale of `steps` updates from `params`."""
        optimizer = OPTIMIZERS[params.optimizer].hparams(params)
        rates = tf.constant(learning_rates(params, steps), tf.float32)
        return cls(LossWeights.from_params(params), optimizer, rates, tf.constant(params.averaging, tf.float32))

    @classmethod
    def signature(cls, spec: ObjectiveSpec) -> Hyperparameters:
        """Return the signature for compiling."""
        optimizer = OPTIMIZERS[spec.optimizer].hparams_spec
        return cls(weights_spec(spec), optimizer, tf.TensorSpec([None]), SCALAR_SPEC)


def learning_rates(params: StyleParams, steps: int) -> NDArray[np.float32]:
    """Return the rate of each of a scale's steps: constant, or decaying geometrically to the final one."""
    final = params.learning_rate if params.final_learning_rate is None else params.final_learning_rate
    return np.geomspace(params.learning_rate, final, steps, dtype=np.float32)


class OptimizerState(NamedTuple):
    """An `AdamState` or `LbfgsState`, and the exponential average of the iterates, empty where none is kept."""

    inner: Any
    average: Any

    @property
    def image(self) -> Any:
        """The latest iterate, `[batch, height, width, 3]` in 0 to 1."""
        return self.inner.image

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copy all arrays from the device, for a snapshot."""
        return {name: np.asarray(tensor) for name, tensor in (*self.inner._asdict().items(), ("average", self.average))}


def start(image: Any, params: StyleParams) -> OptimizerState:
    """Start at `image`."""
    return OptimizerState(OPTIMIZERS[params.optimizer].start(image, params), _zero_average(image, params))


def rescaled(state: OptimizerState, image: Any, params: StyleParams) -> OptimizerState:
    """Continue with the next scale at `image`; the average starts again."""
    inner = OPTIMIZERS[params.optimizer].rescaled(state.inner, image, params)
    return OptimizerState(inner, _zero_average(image, params))


def restored(arrays: Mapping[str, NDArray[Any]], params: StyleParams) -> OptimizerState:
    """Rebuild the state from the `arrays` of a snapshot."""
    kind = type(OPTIMIZERS[params.optimizer].state_spec)
    return OptimizerState(kind(*(tf.constant(arrays[name]) for name in kind._fields)), tf.constant(arrays["average"]))


def updated(
    spec: ObjectiveSpec,
    state: OptimizerState,
    hparams: Hyperparameters,
    loss: Any,
    gradient: Any,
    number: Any,
    rate: Any,
) -> OptimizerState:
    """Make update `number` and add its image to the average, if one is kept. Arguments as in `Optimizer.update`."""
    optimizer = OPTIMIZERS[spec.optimizer]
    inner = optimizer.update(hparams.optimizer, state.inner, loss, gradient, number, rate)
    if not spec.averaged:
        return OptimizerState(inner, state.average)
    average = hparams.decay * state.average + (1.0 - hparams.decay) * optimizer.best_image(inner)
    return OptimizerState(inner, average)


def result(state: OptimizerState, steps_done: int, params: StyleParams) -> Any:
    """Return the images after `steps_done` updates of this scale: the average with its bias corrected, or the best."""
    if not params.averaging or not steps_done:
        return OPTIMIZERS[params.optimizer].best_image(state.inner)
    return state.average / (1.0 - params.averaging**steps_done)


def stack(states: Sequence[OptimizerState]) -> OptimizerState:
    """Concatenate states into one batch."""
    if len(states) == 1:
        return states[0]
    batch: OptimizerState = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *states)
    return batch


def unstack(state: OptimizerState, count: int) -> list[OptimizerState]:
    """Split a batch of `count` images into states of one."""
    if count == 1:
        return [state]
    return [tf.nest.map_structure(lambda part, n=number: part[n : n + 1], state) for number in range(count)]


def _zero_average(image: Any, params: StyleParams) -> Any:
    return tf.zeros_like(image) if params.averaging else tf.zeros_like(image[:, :0, :0])
