"""Pictures painted side by side at one scale: their targets, one compiled call after the other, the chunks.

Invariant: pictures of a batch do not see each other; one that is taken off changes nothing for the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from shared.painting.params import StyleParams
from shared.painting.vgg19 import aligned
from worker.engine.canvas import Canvas, diverged, finite_losses
from worker.engine.compute.targets import Computation, StyleSource, targets
from worker.engine.compute.tiled import Tiled
from worker.engine.compute.whole_image import whole
from worker.engine.device.planner import Plan, Planner
from worker.engine.objective.objective import Recipe, Targets
from worker.engine.optimizers.state import Painting, Settings, joined, parted
from worker.engine.types import Chunk, Losses, Style
from worker.engine.vgg.network import Network

#: What one compiled call is meant to take, in seconds: long enough to hide the cost of a call, short enough for
#: a person who cancels or watches.
_CALL_S = 0.17
#: A style this many times as large as the picture is evaluated in tiles, so that it does not set the memory needed.
_LARGE_STYLE = 2.0


class Run(NamedTuple):
    """What does not change during a run; `sizes` are the (height, width) of its scales."""

    params: StyleParams
    styles: Sequence[Style]
    network: Network
    recipe: Recipe
    settings: Settings
    planner: Planner
    sizes: list[tuple[int, int]]
    steps_per_call: int | None
    wanted: Callable[[int], bool]

    def computation(self, tile: int) -> Computation:
        """Give the computation in tiles of side `tile`, or on whole pictures."""
        return Tiled(self.network, self.recipe, tile) if tile else whole(self.network, self.recipe)


class Batch:
    """Some pictures of a run, side by side in each call."""

    def __init__(self, run: Run, scale: int, plan: Plan, members: list[Canvas], *, siblings: int) -> None:
        """Take the pictures as they are at `scale`; nothing is computed yet. `siblings` batches take turns."""
        self._run = run
        self._scale = scale
        self._size = run.sizes[scale - 1]
        self._plan = plan
        self._siblings = siblings
        self._computation = run.computation(plan.tile)
        self._targets: Targets | None = None
        self._count = 1
        #: Whether a call of this shape was made, so that the next one's time is that of its steps.
        self._warm = False
        self.members = members

    def advance(self) -> dict[int, Chunk]:
        """Make one call's steps with the pictures still wanted; return a chunk for each of them."""
        self._keep([not self._unwanted(canvas) for canvas in self.members])
        if not self.members:
            return {}
        if self._targets is None:
            self._targets = self._aimed()
        first, before = self.members[0].done, self.members[0].before
        count = self._next_count(first)
        painting = joined([canvas.painting for canvas in self.members])
        started = time.perf_counter()
        after, rows = self._computation.advance(
            painting, self._targets, self._run.settings, first=first, before=before, count=count
        )
        step_s = (time.perf_counter() - started) / count
        plan = self._plan._replace(batch=len(self.members))
        self._run.planner.observe(self._run.params, self._size, plan, step_s if self._warm else None)
        self._warm = True
        self._count = self._run.steps_per_call or max(1, round(_CALL_S / step_s))
        parts = zip(self.members, parted(after, len(self.members)), np.moveaxis(rows, 1, 0), strict=True)
        chunks = {canvas.number: self._chunk(canvas, part, own, step_s) for canvas, part, own in parts}
        self._keep([canvas.painting_on for canvas in self.members])
        return chunks

    def _unwanted(self, canvas: Canvas) -> bool:
        canvas.ended = not self._run.wanted(canvas.number)
        return canvas.ended

    def _keep(self, kept: list[bool]) -> None:
        """Take pictures off the batch, and off its targets."""
        if all(kept):
            return
        self.members = [canvas for canvas, keep in zip(self.members, kept, strict=True) if keep]
        if self._targets is not None and self.members:
            self._targets = self._targets.only(np.flatnonzero(kept))

    def _aimed(self) -> Targets:
        """Evaluate the contents, and the styles at the size that goes with them."""
        run, side = self._run, max(self._size)
        source = StyleSource(run.styles, run.params, run.network, run.recipe, self._for_style)
        contents = tf.concat([canvas.content for canvas in self.members], axis=0)
        separate = self.members if run.params.colors != "style" else self.members[:1]
        grams = [source.grams(side, canvas.content[0].numpy()) for canvas in separate]
        return targets(contents, self._computation.content(contents), grams, source)

    def _for_style(self, size: tuple[int, int]) -> Computation:
        """Give the computation for a style of `size`."""
        large = size[0] * size[1] > _LARGE_STYLE * self._size[0] * self._size[1]
        return self._run.computation(self._plan.tile or (aligned(max(self._size)) if large else 0))

    def _next_count(self, done: int) -> int:
        """Choose the steps of the next call: up to the end of the scale, or of an early stop's window."""
        params = self._run.params
        left = params.steps - done
        if params.early_stop:
            left = min(left, params.early_stop_window - done % params.early_stop_window)
        return min(self._run.steps_per_call or self._count, left)

    def _chunk(self, canvas: Canvas, after: Painting, rows: Any, step_s: float) -> Chunk:
        """Take what a call did to one picture, and tell of it."""
        run, params = self._run, self._run.params
        losses = finite_losses(rows)
        first = (self._scale - 1) * params.steps + canvas.done + 1
        failed = self._taken(canvas, after, losses, intact=len(losses) == len(rows))
        left = sum(np.prod(size) for size in run.sizes[self._scale :]) / np.prod(self._size) * params.steps
        return Chunk(
            first=first,
            total=len(run.sizes) * params.steps,
            scale=self._scale,
            scales=len(run.sizes),
            size=(self._size[1], self._size[0]),
            losses=losses,
            step_ms=step_s * 1000,
            eta_s=0.0 if canvas.ended else float(params.steps - canvas.done + left) * step_s * self._siblings,
            image=canvas.last_good if failed else partial(canvas.shown, canvas.painting, canvas.done),
            snapshot=partial(canvas.snapshot, canvas.painting, canvas.done),
            final=canvas.ended,
            error=diverged(first + len(losses)) if failed else None,
            facts={
                "precision": run.recipe.precision,
                "tile_size": self._plan.tile,
                "lbfgs_history": self._plan.history,
                "batch": len(self.members),
                "peak_memory_bytes": run.planner.peak_bytes,
            },
        )

    def _taken(self, canvas: Canvas, after: Painting, losses: tuple[Losses, ...], *, intact: bool) -> bool:
        """Bring a canvas on to the painting after a call; say whether it failed instead."""
        if losses:
            canvas.good = canvas.painting.picture
        params, done = self._run.params, canvas.done + len(losses)
        at_end = done == params.steps or self._flat(canvas, losses, done)
        # a last update has no losses that would show it
        if not intact or (at_end and not np.isfinite(after.picture).all()):
            canvas.ended = True
            return True
        canvas.painting, canvas.done = after, done
        canvas.left_scale = at_end
        canvas.ended = at_end and self._scale == len(self._run.sizes)
        return False

    def _flat(self, canvas: Canvas, losses: tuple[Losses, ...], done: int) -> bool:
        """Say whether the loss has stopped falling, looking at the end of each window."""
        params = self._run.params
        if not params.early_stop or not losses or done % params.early_stop_window:
            return False
        before, canvas.window_loss = canvas.window_loss, losses[-1].total
        return np.isfinite(before) and not improved_enough(before, canvas.window_loss, params.early_stop)


def improved_enough(before: float, after: float, share: float) -> bool:
    """Tell whether the loss fell by at least `share` of what it was, over a window of `early_stop_window` steps.

    Relative, since losses differ by orders of magnitude with weights, scaling and size; over a window, since one
    step may well raise it. Losses after the same number of steps each are compared, so that the pace is judged and
    not the distance. A loss of 0 cannot fall, and one that rose or is not finite has not.

    `share` is above 0; nobody asks where early stopping is off.
    """
    return math.isfinite(before) and math.isfinite(after) and after < before and before - after >= share * before
