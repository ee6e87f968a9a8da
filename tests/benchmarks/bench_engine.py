"""The engine's speed: its step against the plain loop, in bfloat16, in batches, in tiles; `balanced` to a loss."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from shared.painting.params import resolve
from tests.benchmarks.engine_runs import (
    Fixed,
    chunks_of,
    first_steps,
    loss_of,
    painting,
    ratio_of_steps,
    scene,
    single_scale,
)
from tests.benchmarks.registry import bench
from tests.support.trained_weights import network

_ROUNDS = 15


@bench("engine: classic step, 512x384, against the plain loop", "ratio", 1.03)
def classic_step_against_the_plain_loop() -> float:
    """Time the published recipe, ours and written down with Keras' parts."""
    return ratio_of_steps(_our_step(), _plain_step(), _ROUNDS)


@bench("engine: step in bfloat16 against float32, 512x384", "ratio", 0.62)
def bfloat16_step_against_float32() -> float:
    """Time steps of `balanced`, at one scale."""
    rounded, exact = (
        first_steps(_ROUNDS + 1, scene(384, 512), single_scale(512, precision=precision))
        for precision in ("bfloat16", "float32")
    )
    return ratio_of_steps(rounded, exact, _ROUNDS)


@bench("engine: final loss of bfloat16 above float32's", "share", 0.02)
def bfloat16_loss_against_float32() -> float:
    """Paint `balanced` at 256 px in both, and evaluate both results in float32."""
    content, params = scene(192, 256), resolve("balanced", {"size": 256})
    losses = []
    for precision in ("bfloat16", "float32"):
        *_, last = chunks_of(content, params.model_copy(update={"precision": precision}))
        losses.append(loss_of(last.image(), content, params))
    return losses[0] / losses[1] - 1


@bench("engine: balanced to the loss of 300 plain Adam steps", "ratio", 0.10)
def balanced_to_the_loss_of_plain_steps() -> float:
    """Time 300 Adam steps at 384 px in float32, and `balanced` until its picture's loss in float32 is as low."""
    content, balanced = scene(288, 384), resolve("balanced", {"size": 384})
    plain = single_scale(384, optimizer="adam", final_learning_rate=None, precision="float32", steps=300)
    for params in (plain, balanced):  # compiles both
        next(chunks_of(content, params))
    started = time.perf_counter()
    *_, last = chunks_of(content, plain)
    plain_s = time.perf_counter() - started
    target = loss_of(last.image(), content, plain)
    taken_s, started = 0.0, time.perf_counter()
    for chunk in chunks_of(content, balanced):
        taken_s += time.perf_counter() - started
        near = chunk.scale == chunk.scales and chunk.losses[-1].total <= target * 1.01
        if near and loss_of(chunk.image(), content, balanced) <= target:
            return taken_s / plain_s
        started = time.perf_counter()
    raise AssertionError(f"balanced never reached {target:.5f}; it ended at {chunk.losses[-1].total:.5f}")


@bench("engine: tiled gradient off the untiled one, three shapes", "of max", 1e-5)
def tiled_gradient_against_untiled() -> float:
    """Compare gradients of the recipe's layers and losses, to block5_conv2, at three shapes."""
    return max(_gradient_error(size) for size in ((384, 640), (405, 531), (720, 288)))


@bench("engine: cost of tiling at 1024 px", "ratio", 2.4)
def cost_of_tiling() -> float:
    """Time a step of `balanced` in tiles of half the side against one untiled."""
    tiled, whole = (
        first_steps(6, scene(768, 1024), single_scale(1024), planner=Fixed(batch=1, tile=tile)) for tile in (512, 0)
    )
    return ratio_of_steps(tiled, whole, 5)


@bench("engine: 8 pictures of 128 px together, against one by one", "ratio", 0.85)
def batch_against_one_by_one() -> float:
    """Time `fast` over eight contents."""
    _group_of_eight(8), _group_of_eight(1)
    times: dict[int, list[float]] = {8: [], 1: []}
    for _ in range(3):
        for batch, taken in times.items():
            started = time.perf_counter()
            _group_of_eight(batch)
            taken.append(time.perf_counter() - started)
    return float(np.median(times[8]) / np.median(times[1]))


@bench("engine: pixels of a batch off those painted one by one", "/255", 1.0)
def batch_pixels_against_one_by_one() -> float:
    """Paint eight contents by the recipe both ways; the largest difference of any value, in 1/255."""
    together, alone = (_group_of_eight(batch, "classic") for batch in (8, 1))
    return 255 * max(float(np.abs(one - other).max()) for one, other in zip(together, alone, strict=True))


@bench("engine: patch weights from nothing", "s", 60.0)
def patch_weights_from_nothing() -> float:
    """Build them twice, in two empty caches; the time is the slower one's, and the hashes must agree."""
    from worker.engine.vgg import weights

    times, hashes = [], set()
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            hashes.add(weights.load("patch", weights.WeightsLocation(Path(folder))).sha256)
            times.append(time.perf_counter() - started)
    if len(hashes) != 1:
        raise AssertionError(f"two builds differ: {sorted(hashes)}")
    return max(times)


def _our_step() -> Callable[[], object]:
    from tests.unit.worker.engine.synthetic import random_kernels, smooth_picture
    from worker.engine.stylize import stylize
    from worker.engine.types import Style, Subject
    from worker.engine.vgg.network import Network

    chunks = stylize(
        [Subject(smooth_picture(384, 512, seed=1))],
        [Style(smooth_picture(384, 512, seed=2))],
        resolve("classic", {"steps": _ROUNDS + 1}),
        Network.of("random", random_kernels()),
        steps_per_call=1,
    )
    return lambda: next(chunks)


def _plain_step() -> Callable[[], object]:
    import tensorflow as tf

    from tests.unit.worker.engine.keras_reference import PlainLoop
    from tests.unit.worker.engine.synthetic import random_kernels, smooth_picture
    from worker.engine.vgg.network import Network

    loop = PlainLoop(
        smooth_picture(384, 512, seed=1), smooth_picture(384, 512, seed=2), Network.of("random", random_kernels()), 512
    )
    compiled = tf.function(loop.step)
    return lambda: np.array(compiled())


def _group_of_eight(batch: int, preset: str = "fast") -> list[np.ndarray]:
    """Paint eight parts of the scene at 128 px, `batch` at a time."""
    from worker.engine.stylize import stylize
    from worker.engine.types import Style, Subject

    whole = scene(384, 512)
    subjects = [Subject(whole[top : top + 96, left : left + 128]) for top in (0, 200) for left in (0, 128, 256, 384)]
    params, style = resolve(preset, {"size": 128}), Style(painting(400, 512), key="bench")
    last = {}
    for chunks in stylize(subjects, [style], params, network(), planner=Fixed(batch=batch, tile=0)):
        last.update(chunks)
    return [last[number].image() for number in sorted(last)]


def _gradient_error(size: tuple[int, int]) -> float:
    """Compare the gradient from tiles of 256 px with that of one tile, which is the whole picture."""
    import tensorflow as tf

    from worker.engine.compute.targets import StyleSet, build_targets
    from worker.engine.compute.tiled import TiledEvaluator
    from worker.engine.objective.total_loss import LossWeights, ObjectiveSpec
    from worker.engine.types import Style

    params = resolve("classic")
    recipe = ObjectiveSpec.from_params(params, precision="float32")
    picture = np.clip(scene(*size) + np.random.default_rng(0).normal(0, 0.02, (*size, 3)), 0, 1).astype(np.float32)
    gradients = []
    for side in (4096, 256):
        tiled = TiledEvaluator(network(), recipe, side)
        source = StyleSet([Style(painting(*size))], params, network(), recipe, partial(_always, tiled))
        content = tf.constant(scene(*size)[np.newaxis])
        grams = source.moments(max(size), scene(*size))
        aim = build_targets(content, tiled.content(content), [grams], source)
        gradients.append(tiled.losses_and_gradient(picture[np.newaxis], aim, LossWeights.from_params(params))[1])
    return float(np.abs(gradients[0] - gradients[1]).max() / np.abs(gradients[0]).max())


def _always(tiled: object, _size: tuple[int, int]) -> object:
    return tiled
