"""Transparent places of a style are painted nowhere: its moments are those of its visible places."""

import numpy as np
import pytest

from shared.imaging import codec
from tests.unit.worker.engine.small_runs import Fixed, changed, every_loss, run
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.compute.targets import StyleSet
from worker.engine.compute.tiled import TiledEvaluator
from worker.engine.compute.whole_image import whole_image_evaluator
from worker.engine.device.planner import Plan
from worker.engine.objective.total_loss import ObjectiveSpec
from worker.engine.types import Mask, Picture, Style
from worker.engine.vgg.network import Network

#: Visible on the left, with an edge of half opacity.
LEFT = np.repeat(np.repeat(np.float32([1, 1, 1, 0.5, 0, 0, 0, 0]), 20)[np.newaxis], 128, axis=0)


def moments(style: Style, network: Network, *, tile: int = 0, **params: object) -> dict[str, list[np.ndarray]]:
    """Return the moments of a style at its own size, in tiles or whole."""
    chosen = changed(style_scale=1.0, **params)
    spec = ObjectiveSpec.from_params(chosen, precision="float32")
    evaluator = TiledEvaluator(network, spec, tile) if tile else whole_image_evaluator(network, spec)
    style_set = StyleSet([style], chosen, network, spec, lambda _: evaluator)
    [found] = style_set.moments(max(style.picture.shape), smooth_picture(60, 80, seed=1))
    return {name: list(map(np.asarray, pair)) for name, pair in found.items()}


def stored(picture: Picture, opacity: Mask, hidden: Picture) -> codec.Decoded:
    """Store a picture over hidden colours, as a file; load it."""
    colours = np.where(opacity[..., np.newaxis] > 0, picture, hidden)
    return codec.decode(codec.encode(colours, opacity, format="png"), max_px=10**6)


def relative(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def test_an_opaque_style_has_the_same_moments_with_its_opacity_and_without(network: Network) -> None:
    picture = smooth_picture(128, 160, seed=2)
    without, beside = (moments(Style(picture, opacity=own), network) for own in (None, np.ones((128, 160), np.float32)))
    for name, pair in without.items():
        for one, other in zip(pair, beside[name], strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_moments_are_those_of_the_visible_places(network: Network) -> None:
    left, right = smooth_picture(128, 60, seed=2), np.float32(1) - smooth_picture(128, 100, seed=3) / 3
    whole = np.concatenate([left, right], axis=1)
    opacity = np.concatenate([np.ones((128, 60), np.float32), np.zeros((128, 100), np.float32)], axis=1)
    alone, masked, naive = (
        moments(style, network) for style in (Style(left), Style(whole, opacity=opacity), Style(whole))
    )
    for name, (_, gram) in alone.items():
        assert relative(masked[name][1], gram) < 0.1 < relative(naive[name][1], gram)


@pytest.mark.parametrize("statistic", ["gram", "covariance"])
def test_tiles_find_the_same_moments_as_the_whole(statistic: str, network: Network) -> None:
    style = Style(smooth_picture(128, 160, seed=2), opacity=LEFT)
    whole, tiled = (moments(style, network, tile=tile, style_statistic=statistic) for tile in (0, 48))
    for name, pair in whole.items():
        for one, other in zip(tiled[name], pair, strict=True):
            assert relative(one, other) < 1e-5


def test_a_map_that_sees_nothing_visible_takes_the_colours_around_it(network: Network) -> None:
    opacity = np.zeros((33, 33), np.float32)
    opacity[:, -1] = 1  # which pooling drops
    found = moments(Style(smooth_picture(33, 33, seed=2), opacity=opacity), network, padding="zeros")
    assert all(np.isfinite(part).all() and part.any() for pair in found.values() for part in pair)


@pytest.mark.parametrize(
    ("params", "tile"),
    [({}, 0), ({}, 48), ({"colors": "match"}, 0), ({"colors": "histogram"}, 0), ({"colors": "luminance"}, 0)],
)
def test_hidden_colours_change_no_byte_of_a_painting(
    params: dict[str, object], tile: int, content: Picture, network: Network
) -> None:
    picture, painted = smooth_picture(128, 160, seed=2), []
    for hidden in (np.zeros_like(picture), np.ones_like(picture), smooth_picture(128, 160, seed=9)):
        style = stored(picture, LEFT, hidden)
        chunks = run(
            content,
            [Style(style.rgb, opacity=style.alpha)],
            changed(style_scale=1.0, **params),
            network,
            planner=Fixed(Plan(1, tile)),
        )
        painted.append(chunks[-1].image())
    assert painted[0].tobytes() == painted[1].tobytes() == painted[2].tobytes()


def test_a_mask_says_where_in_the_content_and_opacity_what_of_the_style(content: Picture, network: Network) -> None:
    mask = np.zeros(content.shape[:2], np.float32)
    mask[:, :40] = 1
    style = Style(smooth_picture(128, 160, seed=2), mask=mask, opacity=LEFT)
    chunks = run(content, [style], changed(style_scale=1.0), network)
    opaque = run(content, [style._replace(opacity=None)], changed(style_scale=1.0), network)
    assert all(np.isfinite(losses).all() for losses in every_loss(chunks))
    assert np.abs(chunks[-1].image() - opaque[-1].image()).max() > 1e-3


def test_hidden_colours_of_the_content_and_of_the_start_change_no_byte(style: Picture, network: Network) -> None:
    from worker.engine.types import Subject

    picture, painted = smooth_picture(128, 160, seed=2), []
    for hidden in (np.zeros_like(picture), np.ones_like(picture)):
        loaded = stored(picture, LEFT, hidden).rgb
        painted.append(run(Subject(loaded, init=loaded), style, changed(), network)[-1].image())
    assert painted[0].tobytes() == painted[1].tobytes()
