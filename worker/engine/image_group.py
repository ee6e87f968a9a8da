"""A group of images painted together at one scale: their targets, their compiled calls, their chunks.

Invariant: the images of a group have made the same number of steps, and do not affect each other; removing one changes
nothing for the others.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from shared.painting.params import StyleParams
from shared.painting.vgg19 import aligned
from worker.engine.compute.targets import Evaluator, StyleSet, build_targets
from worker.engine.compute.tiled import TiledEvaluator
from worker.engine.compute.whole_image import whole_image_evaluator
from worker.engine.device.planner import Plan, Planner
from worker.engine.image_state import ImageState, diverged, finite_losses
from worker.engine.objective.total_loss import ObjectiveSpec, Targets
from worker.engine.optimizers.state import Hyperparameters, OptimizerState, stack, unstack
from worker.engine.types import Chunk, Losses, Style
from worker.engine.vgg.network import Network

#: Target duration of a compiled call, in seconds: long enough to hide the overhead of a call, short enough for
#: somebody who watches or cancels.
_CALL_S = 0.17
#: A style with this many times the content's pixels is evaluated in tiles, so that it does not set the peak memory.
_LARGE_STYLE = 2.0


class Run(NamedTuple):
    """What is the same throughout a run. `sizes` are the (height, width) of its scales, `steps` their updates."""

    params: StyleParams
    styles: Sequence[Style]
    network: Network
    spec: ObjectiveSpec
    planner: Planner
    sizes: list[tuple[int, int]]
    steps: list[int]
    steps_per_call: int | None
    wanted: Callable[[int], bool]

    def evaluator(self, tile: int) -> Evaluator:
        """Return the evaluator in tiles of side `tile`, or of whole images if that is 0."""
        return TiledEvaluator(self.network, self.spec, tile) if tile else whole_image_evaluator(self.network, self.spec)


class ImageGroup:
    """Images of a run that share every compiled call."""

    def __init__(self, run: Run, scale: int, plan: Plan, images: list[ImageState], *, group_count: int) -> None:
        """Take the images as they are at `scale`; nothing is computed yet. `group_count` groups take turns."""
        self._run = run
        self._scale = scale
        self._size = run.sizes[scale - 1]
        self._steps = run.steps[scale - 1]
        self._hparams = Hyperparameters.from_params(run.params, self._steps)
        self._plan = plan
        self._group_count = group_count
        self._evaluator = run.evaluator(plan.tile)
        self._targets: Targets | None = None
        self._steps_per_call = run.steps_per_call or 1
        #: Whether a call of this shape was made: the first one's time includes compiling.
        self._warm = False
        self.images = images

    def run_call(self) -> dict[int, Chunk]:
        """Make the steps of one compiled call; return the chunk of each image that is still wanted, by its number."""
        for image in self.images:
            image.finished = not self._run.wanted(image.number)
        self._keep([not image.finished for image in self.images])
        if not self.images:
            return {}
        if self._targets is None:
            self._targets = self._build_targets()
        run, first = self._run, self.images[0]
        count = self._next_count(first.steps_done)
        state = stack([image.optimizer_state for image in self.images])
        started = time.perf_counter()
        state, losses = self._evaluator.run_steps(
            state, self._targets, self._hparams, done=first.steps_done, before=first.steps_before, count=count
        )
        step_s = (time.perf_counter() - started) / len(losses)  # not `count`: the evaluator may have stopped early
        plan = self._plan._replace(batch=len(self.images))
        run.planner.observe(run.params, self._size, plan, step_s if self._warm else None)
        self._warm = True
        self._steps_per_call = run.steps_per_call or max(1, round(_CALL_S / step_s))
        parts = zip(self.images, unstack(state, len(self.images)), np.moveaxis(losses, 1, 0), strict=True)
        chunks = {image.number: self._chunk(image, after, rows, step_s) for image, after, rows in parts}
        self._keep([image.unfinished for image in self.images])
        return chunks

    def _keep(self, kept: list[bool]) -> None:
        """Remove the other images from the group and from its targets."""
        if all(kept):
            return
        self.images = [image for image, keep in zip(self.images, kept, strict=True) if keep]
        if self._targets is not None and self.images:
            self._targets = self._targets.select(np.flatnonzero(kept))

    def _build_targets(self) -> Targets:
        """Evaluate the contents, and the styles at the size that goes with them."""
        run, long_side = self._run, max(self._size)
        styles = StyleSet(run.styles, run.params, run.network, run.spec, self._style_evaluator)
        contents = tf.concat([image.content for image in self.images], axis=0)
        # only recoloured styles differ from image to image
        recolored_to = self.images if run.params.colors != "style" else self.images[:1]
        moments = [styles.moments(long_side, image.content[0].numpy()) for image in recolored_to]
        return build_targets(contents, self._evaluator.content(contents), moments, styles)

    def _style_evaluator(self, size: tuple[int, int]) -> Evaluator:
        """Return the evaluator for a style image of `size`."""
        large = size[0] * size[1] > _LARGE_STYLE * self._size[0] * self._size[1]
        return self._run.evaluator(self._plan.tile or (aligned(max(self._size)) if large else 0))

    def _next_count(self, steps_done: int) -> int:
        """Return the number of steps of the next call, which ends with the scale or the early-stopping window."""
        params = self._run.params
        left = self._steps - steps_done
        if params.early_stop:
            left = min(left, params.early_stop_window - steps_done % params.early_stop_window)
        return min(self._steps_per_call, left)

    def _chunk(self, image: ImageState, after: OptimizerState, rows: Any, step_s: float) -> Chunk:
        """Move an image on to the state `after` a call with the losses `rows`; return its chunk."""
        run = self._run
        losses = finite_losses(rows)
        first = sum(run.steps[: self._scale - 1]) + image.steps_done + 1
        failed = not self._accept(image, after, losses, all_finite=len(losses) == len(rows))
        # the steps of the larger scales, in units of this scale's
        larger = zip(run.steps[self._scale :], run.sizes[self._scale :], strict=True)
        left = sum(steps * np.prod(size) for steps, size in larger) / np.prod(self._size)
        eta_s = float(self._steps - image.steps_done + left) * step_s * self._group_count
        return Chunk(
            first=first,
            total=sum(run.steps),
            scale=self._scale,
            scales=len(run.sizes),
            size=(self._size[1], self._size[0]),
            losses=losses,
            step_ms=step_s * 1000,
            eta_s=0.0 if image.finished else eta_s,
            image=image.last_finite_image if failed else partial(image.image, image.optimizer_state, image.steps_done),
            snapshot=partial(image.snapshot, image.optimizer_state, image.steps_done),
            final=image.finished,
            error=diverged(first + len(losses), run.params.optimizer) if failed else None,
            facts={
                "precision": run.spec.precision,
                "tile_size": self._plan.tile,
                "lbfgs_history": self._plan.history,
                "batch": len(self.images),
                "peak_memory_bytes": run.planner.peak_bytes,
            },
        )

    def _accept(
        self, image: ImageState, after: OptimizerState, losses: tuple[Losses, ...], *, all_finite: bool
    ) -> bool:
        """Move an image on to the state `after` a call, or finish it where it diverged and return False."""
        if losses:
            image.last_finite = image.optimizer_state.image
        done = image.steps_done + len(losses)
        at_end = done == self._steps or self._plateaued(image, losses, done)
        # no later loss would show that the last update was not finite
        if not all_finite or (at_end and not np.isfinite(after.image).all()):
            image.finished = True
            return False
        image.optimizer_state, image.steps_done = after, done
        image.scale_finished = at_end
        image.finished = at_end and self._scale == len(self._run.sizes)
        return True

    def _plateaued(self, image: ImageState, losses: tuple[Losses, ...], done: int) -> bool:
        """Return whether the loss has stopped falling, judged at the end of each early-stopping window."""
        params = self._run.params
        if not params.early_stop or not losses or done % params.early_stop_window:
            return False
        before, image.window_loss = image.window_loss, losses[-1].total
        return np.isfinite(before) and not improved_enough(before, image.window_loss, params.early_stop)


def improved_enough(before: float, after: float, fraction: float) -> bool:
    """Return whether the loss fell by at least `fraction`, above 0, of `before` over one early-stopping window.

    Relative, since losses differ by orders of magnitude with weights, scaling and size; over a window, since single
    steps may raise the loss. A loss of 0 cannot fall, and one that rose or is not finite has not fallen.
    """
    return math.isfinite(before - after) and before - after >= fraction * before > 0
