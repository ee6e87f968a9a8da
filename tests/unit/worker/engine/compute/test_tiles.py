"""Tiles: how a picture is cut, and that their gradients add up to the whole picture's."""

import numpy as np
import pytest
import tensorflow as tf

from shared.errors import OutOfMemory
from shared.painting.params import StyleParams, resolve
from tests.unit.worker.engine.small_runs import SMALL, Fixed, changed, every_loss, run, run_group
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.compute.targets import StyleSource, targets
from worker.engine.compute.tiled import Tiled
from worker.engine.compute.tiles import tiles
from worker.engine.device.planner import Plan
from worker.engine.objective.objective import Objective, Recipe, Targets, Weights
from worker.engine.types import Picture, Style
from worker.engine.vgg.network import Network

BLOCK3 = {"content_layers": {"block3_conv2": 1.0}, "style_layers": {"block1_conv1": 1.0, "block3_conv1": 1.0}}


@pytest.mark.parametrize(("size", "side"), [((405, 531), 96), ((64, 64), 64), ((100, 16), 48), ((33, 700), 128)])
def test_the_insides_of_the_tiles_cover_every_pixel_once(size: tuple[int, int], side: int) -> None:
    seen = np.zeros((1, *size), int)

    for tile in tiles(size, side, 32):
        assert tile.top % 16 == tile.left % 16 == 0
        part = tile.of(seen)
        top, left, bottom, right = tile.box
        part[:, top:bottom, left:right] += 1

    assert (seen == 1).all()


def gradients(
    content: Picture, picture: Picture, style: Picture, params: StyleParams, network: Network, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the whole picture, and the one from tiles, targets from tiles included."""
    recipe = Recipe.of(params, precision="float32")
    found = []
    for cut in (10_000, side):
        tiled = Tiled(network, recipe, cut)
        source = StyleSource([Style(style)], params, network, recipe, lambda _, tiled=tiled: tiled)
        contents = tf.constant(content[np.newaxis])
        aim = targets(contents, tiled.content(contents), [source.grams(max(content.shape), content)], source)
        found.append((aim, tiled.gradient(picture[np.newaxis], aim, Weights.of(params))[1]))
    np.testing.assert_allclose(found[0][1], whole_gradient(picture, found[0][0], params, network), atol=1e-7)
    return found[0][1], found[1][1]


def whole_gradient(picture: Picture, aim: Targets, params: StyleParams, network: Network) -> np.ndarray:
    objective, at = Objective(network, Recipe.of(params, precision="float32")), tf.constant(picture[np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = objective.evaluate(objective.measure(at, aim), aim, Weights.of(params))[0, 0]
    return tape.gradient(value, at).numpy()


@pytest.mark.parametrize("size", [(160, 240), (177, 203), (48, 331)])
@pytest.mark.parametrize("preset", ["classic", "balanced"])
def test_the_gradient_from_tiles_is_the_whole_pictures(size: tuple[int, int], preset: str, network: Network) -> None:
    params = resolve(preset, {**BLOCK3, "loss_scaling": "target", "tv_weight": 1.0, "content_weight": 1.0})

    whole, tiled = gradients(
        smooth_picture(*size, 1), smooth_picture(*size, 2), smooth_picture(120, 150, 3), params, network, side=64
    )

    assert np.abs(whole - tiled).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("changes", [{}, {"optimizer": "lbfgs"}, {"averaging": 0.7}], ids=str)
def test_painting_in_tiles_is_painting_whole(
    content: Picture, style: Picture, network: Network, changes: dict[str, object]
) -> None:
    whole = run(content, style, changed(**changes), network)
    tiled = run(content, style, changed(tile_size=32, **changes), network)

    np.testing.assert_allclose(every_loss(tiled), every_loss(whole), rtol=1e-3, atol=1e-6)
    assert np.abs(tiled[-1].image() - whole[-1].image()).max() < 1 / 255
    assert tiled[-1].facts["tile_size"] == 32


def test_masked_styles_are_painted_in_tiles_too(content: Picture, style: Picture, network: Network) -> None:
    mask = np.tile(np.linspace(0, 1, content.shape[1], dtype=np.float32), (content.shape[0], 1))
    styles = [Style(style, mask=mask), Style(style[::-1], mask=1 - mask)]

    whole, tiled = (run(content, styles, changed(tile_size=tile), network) for tile in (0, 32))

    np.testing.assert_allclose(every_loss(tiled), every_loss(whole), rtol=1e-3, atol=1e-6)


def test_a_gradient_that_is_not_finite_changes_nothing(style: Picture, network: Network) -> None:
    content = np.full((48, 64, 3), np.nan, np.float32)

    chunks = run(content, style, changed(tile_size=32, start_size=0), network)

    assert chunks[-1].error is not None
    assert chunks[-1].losses == ()


def exhausting(monkeypatch: pytest.MonkeyPatch, fits: Plan) -> list[Plan]:
    """Have memory run out for every plan that is not as small as `fits`; list the plans tried."""
    from worker.engine.batch import Batch

    tried: list[Plan] = []
    aimed = Batch._aimed

    def advance(batch: Batch) -> Targets:
        plan = batch._plan
        tried.append(plan)
        if plan.batch > fits.batch or (fits.tile and not 0 < plan.tile <= fits.tile):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return aimed(batch)

    monkeypatch.setattr(Batch, "_aimed", advance)
    return tried


def test_when_memory_runs_out_fewer_pictures_are_painted_at_once(
    style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [smooth_picture(60, 80, seed) for seed in range(4)]
    expected = run_group(contents, style, SMALL, network)
    tried = exhausting(monkeypatch, Plan(1, 0))

    found = run_group(contents, style, SMALL, network)

    assert tried[:3] == [Plan(4, 0), Plan(2, 0), Plan(1, 0)]
    for chunks, others in zip(found, expected, strict=True):
        assert np.abs(chunks[-1].image() - others[-1].image()).max() < 1 / 255


def test_when_one_picture_is_too_much_it_is_painted_in_ever_smaller_tiles(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, style = smooth_picture(400, 600, 1), smooth_picture(200, 200, 2)
    tried = exhausting(monkeypatch, Plan(1, 200))

    chunks = run(content, style, changed(size=600, start_size=0, steps=1), network)

    assert tried == [Plan(1, 0), Plan(1, 304), Plan(1, 160)]
    assert chunks[-1].facts["tile_size"] == 160


def test_a_device_without_room_for_the_smallest_tile_is_out_of_memory(
    content: Picture, style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    exhausting(monkeypatch, Plan(0, 0))

    with pytest.raises(OutOfMemory) as error:
        run(content, style, SMALL, network, planner=Fixed(Plan(1, 0)))

    assert error.value.code == "out_of_memory"
