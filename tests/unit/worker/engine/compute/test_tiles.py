"""Tiles: how an image is cut, and that their gradients add up to that of the whole image."""

import numpy as np
import pytest
import tensorflow as tf

from shared.errors import OutOfMemory
from shared.painting.params import StyleParams, resolve
from tests.unit.worker.engine.small_runs import SMALL, Fixed, changed, every_loss, run, run_group
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.compute.targets import StyleSet, build_targets
from worker.engine.compute.tiled import TiledEvaluator
from worker.engine.compute.tiles import tile_grid
from worker.engine.device.planner import Plan
from worker.engine.objective.total_loss import LossWeights, Objective, ObjectiveSpec, Targets
from worker.engine.types import Picture, Style
from worker.engine.vgg.network import Network

BLOCK3 = {"content_layers": {"block3_conv2": 1.0}, "style_layers": {"block1_conv1": 1.0, "block3_conv1": 1.0}}

#: Losses that no preset has.
OTHER_LOSSES: list[dict[str, object]] = [
    {"style_statistic": "covariance"},
    {"style_statistic": "wasserstein"},
    {"color_weight": 1.0},
    {"laplacian_weight": 1.0},
    {"laplacian_weight": 1.0, "laplacian_pool": 16},
    {"tv_weight": 1.0, "tv_stencil": "nine-point"},
    {"pooling": "average", "pooling_scale": 2.0},
    {"pooling": "l2", "pooling_scale": 0.78},
]


@pytest.mark.parametrize(("size", "side"), [((405, 531), 96), ((64, 64), 64), ((100, 16), 48), ((33, 700), 128)])
def test_the_interiors_of_the_tiles_cover_every_pixel_once(size: tuple[int, int], side: int) -> None:
    seen = np.zeros((1, *size), int)

    for tile in tile_grid(size, side, 32):
        assert tile.top % 16 == tile.left % 16 == 0
        part = tile.crop(seen)
        top, left, bottom, right = tile.box
        part[:, top:bottom, left:right] += 1

    assert (seen == 1).all()


def gradients(
    content: Picture, picture: Picture, style: Picture, params: StyleParams, network: Network, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of the whole image, and the one from tiles with targets from tiles."""
    spec = ObjectiveSpec.from_params(params, precision="float32")
    found = []
    for cut in (10_000, side):
        tiled = TiledEvaluator(network, spec, cut)
        style_set = StyleSet([Style(style)], params, network, spec, lambda _, tiled=tiled: tiled)
        contents = tf.constant(content[np.newaxis])
        targets = build_targets(
            contents, tiled.content(contents), [style_set.moments(max(content.shape), content)], style_set
        )
        found.append(
            (targets, tiled.losses_and_gradient(picture[np.newaxis], targets, LossWeights.from_params(params))[1])
        )
    np.testing.assert_allclose(found[0][1], whole_gradient(picture, found[0][0], params, network), atol=1e-7)
    return found[0][1], found[1][1]


def whole_gradient(picture: Picture, targets: Targets, params: StyleParams, network: Network) -> np.ndarray:
    objective = Objective(network, ObjectiveSpec.from_params(params, precision="float32"))
    at = tf.constant(picture[np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = objective.losses(objective.sums(at, targets), targets, LossWeights.from_params(params))[0, 0]
    return tape.gradient(value, at).numpy()


@pytest.mark.parametrize("size", [(160, 240), (177, 203), (48, 331)])
@pytest.mark.parametrize("preset", ["classic", "balanced"])
def test_the_gradient_from_tiles_is_that_of_the_whole_image(
    size: tuple[int, int], preset: str, network: Network
) -> None:
    params = resolve(preset, {**BLOCK3, "loss_scaling": "target", "tv_weight": 1.0, "content_weight": 1.0})

    whole, tiled = gradients(
        smooth_picture(*size, 1), smooth_picture(*size, 2), smooth_picture(120, 150, 3), params, network, side=64
    )

    assert np.abs(whole - tiled).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("changes", OTHER_LOSSES, ids=str)
def test_so_is_that_of_every_other_loss(changes: dict[str, object], network: Network) -> None:
    params = resolve("balanced", {**BLOCK3, "content_weight": 1.0, **changes})

    whole, tiled = gradients(
        smooth_picture(177, 203, 1), smooth_picture(177, 203, 2), smooth_picture(120, 150, 3), params, network, side=64
    )

    assert np.abs(whole - tiled).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize(
    "changes", [{}, {"optimizer": "lbfgs"}, {"averaging": 0.7}, {"style_statistic": "wasserstein"}], ids=str
)
def test_tiles_give_the_result_of_the_whole_image(
    content: Picture, style: Picture, network: Network, changes: dict[str, object]
) -> None:
    whole = run(content, style, changed(**changes), network)
    tiled = run(content, style, changed(tile_size=32, **changes), network)

    np.testing.assert_allclose(every_loss(tiled), every_loss(whole), rtol=1e-3, atol=1e-6)
    assert np.abs(tiled[-1].image() - whole[-1].image()).max() < 1 / 255
    assert tiled[-1].facts["tile_size"] == 32


def test_tiles_work_with_masked_styles(content: Picture, style: Picture, network: Network) -> None:
    mask = np.tile(np.linspace(0, 1, content.shape[1], dtype=np.float32), (content.shape[0], 1))
    styles = [Style(style, mask=mask), Style(style[::-1], mask=1 - mask)]

    whole, tiled = (run(content, styles, changed(tile_size=tile), network) for tile in (0, 32))

    np.testing.assert_allclose(every_loss(tiled), every_loss(whole), rtol=1e-3, atol=1e-6)


def test_no_update_is_made_with_a_gradient_that_is_not_finite(style: Picture, network: Network) -> None:
    content = np.full((48, 64, 3), np.nan, np.float32)

    chunks = run(content, style, changed(tile_size=32, start_size=0), network)

    assert chunks[-1].error is not None
    assert chunks[-1].losses == ()


def exhausting(monkeypatch: pytest.MonkeyPatch, fits: Plan) -> list[Plan]:
    """Let memory run out for every plan larger than `fits`; return a list of the plans tried."""
    from worker.engine.image_group import ImageGroup

    tried: list[Plan] = []
    original = ImageGroup._build_targets

    def _build_targets(group: ImageGroup) -> Targets:
        plan = group._plan
        tried.append(plan)
        if plan.batch > fits.batch or (fits.tile and not 0 < plan.tile <= fits.tile):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return original(group)

    monkeypatch.setattr(ImageGroup, "_build_targets", _build_targets)
    return tried


def test_when_memory_runs_out_fewer_images_are_painted_together(
    style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [smooth_picture(60, 80, seed) for seed in range(4)]
    expected = run_group(contents, style, SMALL, network)
    tried = exhausting(monkeypatch, Plan(1, 0))

    found = run_group(contents, style, SMALL, network)

    assert tried[:3] == [Plan(4, 0), Plan(2, 0), Plan(1, 0)]
    for chunks, others in zip(found, expected, strict=True):
        assert np.abs(chunks[-1].image() - others[-1].image()).max() < 1 / 255


def test_when_memory_runs_out_for_one_image_its_tiles_get_smaller(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, style = smooth_picture(400, 600, 1), smooth_picture(200, 200, 2)
    tried = exhausting(monkeypatch, Plan(1, 200))

    chunks = run(content, style, changed(size=600, start_size=0, steps=1), network)

    assert tried == [Plan(1, 0), Plan(1, 304), Plan(1, 160)]
    assert chunks[-1].facts["tile_size"] == 160


def test_out_of_memory_is_raised_if_the_smallest_tile_does_not_fit(
    content: Picture, style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhausting(monkeypatch, Plan(0, 0))

    with pytest.raises(OutOfMemory) as error:
        run(content, style, SMALL, network, planner=Fixed(Plan(1, 0)))

    assert error.value.code == "out_of_memory"
