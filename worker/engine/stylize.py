"""Paint pictures: the optimisation of Gatys et al. as a generator of steps.

Several steps run inside one compiled call, because reading the losses after every step would stall a GPU; the call
returns the losses of all its steps. What to do with them (report, cancel, save) is the caller's business between
two chunks. Pictures of one size are painted several at a time, and tile by tile where the memory does not hold them
whole; that is the planner's to say, once a scale.

Invariant: neither the number of steps in a call nor of pictures beside it changes what becomes of a picture, beyond
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from shared.errors import OutOfMemory, WeightsUnavailable
from shared.painting.params import LAST_RESORT_WEIGHTS, StyleParams
from shared.painting.sizes import scale_sizes
from worker.engine.batch import Batch, Run
from worker.engine.canvas import Canvas
from worker.engine.compute.targets import shares
from worker.engine.device.device import resolved
from worker.engine.device.planner import Planner
from worker.engine.objective.objective import Recipe
from worker.engine.optimizers.state import Settings
from worker.engine.types import Chunk, Style, Subject
from worker.engine.vgg.network import Network


def stylize(
    subjects: Sequence[Subject],
    styles: Sequence[Style],
    params: StyleParams,
    network: Network,
    *,
    wanted: Callable[[int], bool] = lambda _: True,
    planner: Planner | None = None,
    steps_per_call: int | None = None,
) -> Iterator[dict[int, Chunk]]:
    """Paint `subjects` like `styles`, from the coarsest scale to the size asked for, and yield every step.

    Pictures come at their original size; several subjects must pass through the same sizes. Each yield holds a chunk
    for every picture of one call, by its number. `steps_per_call` fixes the length of a chunk; by default a chunk
    takes about 0.17 s, or one step where that takes longer. Raises `WeightsUnavailable` where the params mean nothing
    with the network's kernels, `InvalidParams` for a picture too narrow for the size, `TooLarge` or `OutOfMemory` when
    the device cannot hold a scale even in the smallest tiles. A picture with a loss that is not finite ends with a
    chunk that carries the error.
    """
    _ensure_meaningful(params, network)
    shares(styles)
    sizes = scale_sizes(params, subjects[0].content.shape, [style.picture.shape for style in styles])
    styles = [style for style in styles if style.weight > 0]
    regions = len(styles) if any(style.mask is not None for style in styles) else 0
    run = Run(
        params,
        styles,
        network,
        Recipe.of(params, precision=resolved(params.precision), regions=regions),
        Settings.of(params),
        planner or Planner(),
        sizes,
        steps_per_call,
        wanted,
    )
    canvases = [Canvas(number, subject, params) for number, subject in enumerate(subjects)]
    resume = subjects[0].resume
    for scale in range(resume.scale if resume else 1, len(sizes) + 1):
        yield from _scale(run, scale, [canvas for canvas in canvases if not canvas.ended])


def _ensure_meaningful(params: StyleParams, network: Network) -> None:
    """Refuse weights of losses that are stated in units of features that these kernels do not have."""
    if network.name == LAST_RESORT_WEIGHTS and params.loss_scaling == "none":
        raise WeightsUnavailable(
            "The preset `classic`, and any params with `loss_scaling` `none`, weigh the losses in units of VGG19 as "
            f"trained on ImageNet: with `{LAST_RESORT_WEIGHTS}` weights their numbers mean nothing. "
            "`atelier weights fetch` gets trained ones.",
            available=network.name,
        )


def _scale(run: Run, scale: int, canvases: list[Canvas]) -> Iterator[dict[int, Chunk]]:
    """Paint the pictures at one scale, fewer at a time or in smaller tiles whenever memory runs out."""
    if not canvases:
        return
    size = run.sizes[scale - 1]
    plan = run.planner.plan(run.params, size, len(canvases))
    for canvas in canvases:
        canvas.begin_scale(scale, size, history=plan.history)
    while members := [canvas for canvas in canvases if canvas.painting_on]:
        groups = [members[at : at + plan.batch] for at in range(0, len(members), plan.batch)]
        try:
            yield from _in_turn([Batch(run, scale, plan, group, siblings=len(groups)) for group in groups])
        except tf.errors.ResourceExhaustedError:
            smaller = plan.smaller(size)
            if smaller is None:
                detail = f"The device's memory does not hold a picture of {max(size)} px."
                raise OutOfMemory(detail, size=max(size)) from None
            plan = smaller


def _in_turn(batches: list[Batch]) -> Iterator[dict[int, Chunk]]:
    """Let each batch make a call, again and again, until all their pictures are done."""
    while batches:
        for batch in batches:
            chunks = batch.advance()
            if chunks:
                yield chunks
        batches = [batch for batch in batches if batch.members]
