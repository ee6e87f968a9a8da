"""Neural style transfer by Gatys et al., coarse to fine, as a generator of chunks of steps.

One compiled call makes several steps, because reading the losses after every step would stall a GPU; it returns the
losses of each. The caller reports, cancels or saves between two chunks. At each scale the planner decides how many
images are painted together, and whether in tiles because whole images do not fit in memory.

Invariant: neither the number of steps in a call nor the other images of a group change an image beyond rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import tensorflow as tf

from shared.errors import OutOfMemory, WeightsUnavailable
from shared.painting.params import LAST_RESORT_WEIGHTS, StyleParams
from shared.painting.sizes import scale_sizes, steps_by_scale
from worker.engine.compute.targets import blend_weights
from worker.engine.device.hardware import resolve_precision
from worker.engine.device.planner import Planner
from worker.engine.image_group import ImageGroup, Run
from worker.engine.image_state import ImageState
from worker.engine.objective.total_loss import ObjectiveSpec
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
    """Paint `subjects` in the style of `styles`, from the smallest scale to the size asked for.

    Images come at their original size; all subjects must have the same size at every scale. Each yield holds the
    chunks of one compiled call, by the subject's number; a subject that is no longer `wanted` is left out from then
    on. `steps_per_call` fixes the length of a chunk, which is otherwise about 0.17 s, or one step if that is longer.
    A subject whose loss is not finite ends with a chunk that carries the error.

    Raises `WeightsUnavailable` if the params make no sense with the network's weights, `InvalidParams` for an image
    too narrow for the size, `TooLarge` or `OutOfMemory` if the device cannot hold a scale even in the smallest tiles.
    """
    _check_weights_suit(params, network)
    blend_weights(styles)
    sizes = scale_sizes(params, subjects[0].content.shape, [style.picture.shape for style in styles])
    styles = [style for style in styles if style.weight > 0]
    regions = len(styles) if any(style.mask is not None for style in styles) else 0
    run = Run(
        params,
        styles,
        network,
        ObjectiveSpec.from_params(params, precision=resolve_precision(params.precision), regions=regions),
        planner or Planner(),
        sizes,
        steps_by_scale(params, len(sizes)),
        steps_per_call,
        wanted,
    )
    images = [ImageState(number, subject, params) for number, subject in enumerate(subjects)]
    resume = subjects[0].resume
    for scale in range(resume.scale if resume else 1, len(sizes) + 1):
        images = [image for image in images if not image.finished]
        if images:
            yield from _paint_scale(run, scale, images)


def _check_weights_suit(params: StyleParams, network: Network) -> None:
    """Refuse loss weights that are in units of trained features if the network was not trained."""
    if network.name == LAST_RESORT_WEIGHTS and params.loss_scaling == "none":
        raise WeightsUnavailable(
            "The preset `classic`, and any params with `loss_scaling` `none`, weigh the losses in units of VGG19 as "
            f"trained on ImageNet: with `{LAST_RESORT_WEIGHTS}` weights their numbers mean nothing. "
            "`atelier weights fetch` gets trained ones.",
            available=network.name,
        )


def _paint_scale(run: Run, scale: int, images: list[ImageState]) -> Iterator[dict[int, Chunk]]:
    """Paint the images at one scale; whenever memory runs out, continue with fewer at a time or in smaller tiles."""
    size = run.sizes[scale - 1]
    plan = run.planner.plan(run.params, size, len(images))
    for image in images:
        image.begin_scale(scale, size, history=plan.history)
    while unfinished := [image for image in images if image.unfinished]:
        groups = _groups(unfinished, plan.batch)
        try:
            yield from _take_turns([ImageGroup(run, scale, plan, group, group_count=len(groups)) for group in groups])
        except tf.errors.ResourceExhaustedError:
            smaller = plan.smaller(size)
            if smaller is None:
                detail = f"The device's memory does not hold an image of {max(size)} px."
                raise OutOfMemory(detail, size=max(size)) from None
            plan = smaller


def _groups(images: list[ImageState], batch: int) -> list[list[ImageState]]:
    """Split images into groups of at most `batch`, each at one step: memory may run out between two groups' calls."""
    at_one_step = [list(same) for _, same in groupby(images, key=lambda image: image.steps_done)]
    return [same[start : start + batch] for same in at_one_step for start in range(0, len(same), batch)]


def _take_turns(groups: list[ImageGroup]) -> Iterator[dict[int, Chunk]]:
    """Run one call of each group in turn until all their images have finished the scale."""
    while groups:
        for group in groups:
            chunks = group.run_call()
            if chunks:
                yield chunks
        groups = [group for group in groups if group.images]
