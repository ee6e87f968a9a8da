"""Options beyond the published recipe: init, colours, averaging, masks, early stopping, precision."""

import numpy as np
import pytest

from tests.unit.worker.engine.small_runs import SMALL, changed, every_loss, run
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine.objective.maps import laplacian
from worker.engine.pictures.colors import to_grey
from worker.engine.types import Picture, Style, Subject
from worker.engine.vgg.network import Network


def first_picture(subject: Subject, style: Picture, network: Network, **changes: object) -> Picture:
    """Return the image after one step too small to change it."""
    params = changed(steps=1, start_size=0, learning_rate=1e-7, final_learning_rate=None, **changes)
    return run(subject, style, params, network)[0].image()


def test_painting_starts_from_the_content_from_noise_or_from_an_image(
    content: Picture, style: Picture, network: Network
) -> None:
    init = smooth_picture(48, 64, seed=9)

    from_content = first_picture(Subject(content), style, network)
    from_noise = first_picture(Subject(content), style, network, init="noise")
    from_picture = first_picture(Subject(content, init=init), style, network)

    assert np.abs(from_content - content[: 60 * 48 // 60].mean()).mean() < 0.5
    assert np.std(from_noise) == pytest.approx(12**-0.5, abs=0.02)
    np.testing.assert_allclose(from_picture, init, atol=1e-4)


def test_averaging_weights_each_step_by_its_age(content: Picture, style: Picture, network: Network) -> None:
    decay = 0.5
    steps = [chunk.image() for chunk in run(content, style, changed(start_size=0), network, steps_per_call=1)]
    averaged = run(content, style, changed(start_size=0, averaging=decay), network)[-1].image()

    weights = np.array([decay**age for age in reversed(range(len(steps)))])
    expected = np.tensordot(weights / weights.sum(), np.stack(steps), axes=1)
    np.testing.assert_allclose(averaged, expected, atol=1e-5)


def test_luminance_keeps_the_colours_of_the_content(content: Picture, style: Picture, network: Network) -> None:
    content = content * np.float32(0.4) + np.float32(0.3)

    painted = run(content, style, changed(colors="luminance", size=80), network)[-1].image()

    inside = (painted > 0.01).all(-1) & (painted < 0.99).all(-1)
    chroma, expected = painted - to_grey(painted), content - to_grey(content)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(chroma[inside], expected[inside], atol=2e-3)
    assert np.abs(to_grey(painted) - to_grey(content)).mean() > 1e-3, "nothing was painted"


def test_a_style_matched_to_a_grey_content_paints_in_grey(content: Picture, style: Picture, network: Network) -> None:
    content = to_grey(content)

    def colour(colors: str) -> float:
        painted = run(content, style, changed(colors=colors, steps=20), network)[-1].image()
        return float(np.abs(painted - to_grey(painted)).mean())

    assert colour("match") < 0.5 * colour("style")


def test_each_style_is_painted_inside_its_mask_only(content: Picture, network: Network) -> None:
    left = np.zeros(content.shape[:2], np.float32)
    left[:, : left.shape[1] // 2] = 1
    red, blue = (np.zeros((64, 64, 3), np.float32) + np.eye(3, dtype=np.float32)[channel] for channel in (0, 2))
    params = changed(content_weight=0.01, steps=30)

    painted = run(content, [Style(red, mask=left), Style(blue, mask=1 - left)], params, network)[-1].image()

    redness = painted[..., 0] - painted[..., 2]
    third = painted.shape[1] // 3
    assert redness[:, :third].mean() > 0.1 > -0.1 > redness[:, -third:].mean()


def test_a_scale_that_improves_too_little_stops_early(content: Picture, style: Picture, network: Network) -> None:
    params = changed(steps=40, early_stop=0.9, early_stop_window=5)

    chunks = run(content, style, params, network)

    made = len(every_loss(chunks))
    assert made < 80
    assert chunks[-1].final
    assert chunks[-1].eta_s == 0
    assert {chunk.total for chunk in chunks} == {80}
    second = next(chunk for chunk in chunks if chunk.scale == 2)
    assert second.first == 41, "step numbers leave a gap where a scale stops early"


def test_lbfgs_reaches_in_few_steps_what_adam_does_in_many(content: Picture, style: Picture, network: Network) -> None:
    adam = every_loss(run(content, style, changed(start_size=0, steps=60), network))[-1].total

    lbfgs = every_loss(run(content, style, changed(start_size=0, steps=30, optimizer="lbfgs"), network))

    assert min(step.total for step in lbfgs) < adam


def test_bfloat16_gives_the_same_result_within_its_precision(
    content: Picture, style: Picture, network: Network
) -> None:
    exact, rounded = (run(content, style, changed(steps=10, precision=p), network) for p in ("float32", "bfloat16"))

    assert rounded[-1].facts["precision"] == "bfloat16"
    assert every_loss(rounded)[-1].total == pytest.approx(every_loss(exact)[-1].total, rel=0.05)
    assert np.abs(rounded[-1].image() - exact[-1].image()).mean() < 0.02


def test_a_larger_style_scale_enlarges_the_style_image(content: Picture, style: Picture, network: Network) -> None:
    same, larger = (run(content, style, changed(style_scale=scale, steps=1), network) for scale in (1.0, 2.0))

    assert every_loss(same)[0].style != every_loss(larger)[0].style


def test_the_facts_of_a_chunk_say_how_it_was_painted(content: Picture, style: Picture, network: Network) -> None:
    facts = run(content, style, SMALL, network)[-1].facts

    assert (facts["precision"], facts["tile_size"], facts["batch"]) == ("float32", 0, 1)
    assert facts["peak_memory_bytes"] > 2**20


def test_smaller_scales_take_their_factor_of_steps(content: Picture, style: Picture, network: Network) -> None:
    chunks = run(content, style, changed(steps=4, coarse_steps_factor=2.5), network)

    assert {chunk.total for chunk in chunks} == {14}
    by_scale = [sum(len(chunk.losses) for chunk in chunks if chunk.scale == scale) for scale in (1, 2)]
    assert by_scale == [10, 4]
    assert [chunk.first for chunk in chunks][-1] + len(chunks[-1].losses) == 15


def test_contrast_is_held_to_that_of_the_style_by_its_colours(
    content: Picture, style: Picture, network: Network
) -> None:
    style = style * np.float32(0.4)

    def contrast(weight: float) -> float:
        params = changed(steps=30, style_weight=0.0, color_weight=weight)
        return float(run(content, style, params, network)[-1].image().std())

    assert contrast(10.0) - style.std() < 0.5 * (contrast(0.0) - style.std())


def test_edges_are_held_by_the_laplacian(content: Picture, style: Picture, network: Network) -> None:
    def off(weight: float) -> float:
        params = changed(size=0, start_size=0, steps=30, laplacian_weight=weight, laplacian_pool=2)
        painted = run(content, style, params, network)[-1].image()
        edges, wanted = (laplacian(image[np.newaxis], 2) for image in (painted, content))
        return float(np.square(edges - wanted).mean())

    assert off(10.0) < 0.5 * off(0.0)


@pytest.mark.parametrize("statistic", ["covariance", "wasserstein"])
def test_other_statistics_paint_the_style_too(
    content: Picture, style: Picture, network: Network, statistic: str
) -> None:
    chunks = run(content, style, changed(start_size=0, steps=30, style_statistic=statistic), network)

    losses = every_loss(chunks)
    assert losses[-1].style < 0.5 * losses[0].style
    assert chunks[-1].error is None


def test_a_histogram_gives_the_painting_the_colours_of_the_content(
    content: Picture, style: Picture, network: Network
) -> None:
    grey = to_grey(content)
    painted = run(grey, style, changed(colors="histogram", steps=20), network)[-1].image()

    assert np.abs(painted - to_grey(painted)).mean() < 0.05
