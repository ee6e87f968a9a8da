"""Steps on whole images: several steps of several images inside one compiled call.

Compiled once per process for each network and spec, whatever the number and the size of the images.

Invariant: the losses of a step are those of the image before its update, and no image affects another.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from worker.engine.objective.moments import Moments
from worker.engine.objective.total_loss import (
    IMAGES_SPEC,
    MASK_SPEC,
    Objective,
    ObjectiveSpec,
    Targets,
    targets_spec,
)
from worker.engine.optimizers.state import OPTIMIZERS, Hyperparameters, OptimizerState, updated
from worker.engine.vgg.network import Network

_INTEGER_SPEC = tf.TensorSpec([], tf.int32)


class WholeImageEvaluator:
    """An `Evaluator` of whole images; each function is compiled at its first use."""

    def __init__(self, network: Network, spec: ObjectiveSpec) -> None:
        self._objective = Objective(network, spec)
        self._spec = spec
        state = OptimizerState(OPTIMIZERS[spec.optimizer].state_spec, IMAGES_SPEC)
        steps = [state, targets_spec(spec), Hyperparameters.signature(spec), *[_INTEGER_SPEC] * 3]
        self.content = tf.function(self._content, input_signature=[IMAGES_SPEC], autograph=False)
        masks = dict.fromkeys(spec.style_maps, MASK_SPEC)
        self._opaque_moments = tf.function(self._moments, input_signature=[IMAGES_SPEC], autograph=False)
        self._masked_moments = tf.function(self._moments, input_signature=[IMAGES_SPEC, masks], autograph=False)
        self._compiled_steps = tf.function(self._steps, input_signature=steps, autograph=False)

    def moments(self, images: Any, masks: Mapping[str, Any] | None = None) -> dict[str, Moments]:
        """Return the moments of the style maps: means `[batch, c]` and Gram matrices `[batch, c, c]`."""
        found: dict[str, Moments] = (
            self._opaque_moments(images) if masks is None else self._masked_moments(images, masks)
        )
        return found

    def run_steps(
        self, state: OptimizerState, targets: Targets, hparams: Hyperparameters, *, done: int, before: int, count: int
    ) -> tuple[OptimizerState, NDArray[np.float32]]:
        """Make `count` updates, even if a loss is not finite; return the state and the losses `[count, batch, 4]`."""
        state, losses = self._compiled_steps(state, targets, hparams, done, before, count)
        return state, losses.numpy()

    def _content(self, images: Any) -> dict[str, Any]:
        """Return the content maps `[batch, h, w, c]` of images `[batch, height, width, 3]`."""
        maps = self._objective.maps(images)
        return {name: maps[name] for name in self._spec.content_maps}

    def _moments(self, images: Any, masks: Mapping[str, Any] | None = None) -> dict[str, Moments]:
        """Return the moments of the style maps of images `[batch, height, width, 3]`."""
        sums, counts = self._objective.moment_sums(images, masks)
        return {name: Moments(*(part / counts[name] for part in own)) for name, own in sums.items()}

    def _steps(
        self, state: OptimizerState, targets: Targets, hparams: Hyperparameters, done: Any, before: Any, count: Any
    ) -> tuple[OptimizerState, Any]:
        """Make `count` updates; return the state and the losses `[count, batch, 4]`. Integers are scalar tensors."""

        def step(i: Any, state: OptimizerState, log: Any) -> tuple[Any, OptimizerState, Any]:
            with tf.GradientTape() as tape:
                tape.watch(state.image)
                sums = self._objective.sums(state.image, targets)
                losses = self._objective.losses(sums, targets, hparams.weights)
                total = tf.reduce_sum(losses[:, 0])
            gradient = tape.gradient(total, state.image)
            # a number over all scales, as Adam keeps its moments from scale to scale; learning rates begin again
            number, rate = before + done + i + 1, hparams.rates[done + i]
            state = updated(self._spec, state, hparams, losses[:, 0], gradient, number, rate)
            return i + 1, state, log.write(i, losses)

        log = tf.TensorArray(tf.float32, size=count, element_shape=[None, 4])
        # one at a time: overlapping iterations would hold the activations of several steps
        _, state, log = tf.while_loop(lambda i, *_: i < count, step, (0, state, log), parallel_iterations=1)
        return state, log.stack()


#: The evaluator of a network and a spec, kept for later jobs: compiling takes 1 s, and the functions 20 MB. The presets
#: need two, and others with masks; the rest is for jobs that choose other formulas or layers.
whole_image_evaluator = lru_cache(maxsize=8)(WholeImageEvaluator)
