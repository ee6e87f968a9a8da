"""Images painted together give the results that they give alone."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.unit.worker.engine.small_runs import SMALL, Fixed, changed, every_loss, run, run_group
from tests.unit.worker.engine.synthetic import smooth_picture
from worker.engine import image_group
from worker.engine.compute.targets import StyleSet
from worker.engine.device.planner import Plan
from worker.engine.image_group import ImageGroup
from worker.engine.stylize import stylize
from worker.engine.types import Chunk, Picture, Style, Subject
from worker.engine.vgg.network import Network

CONTENTS = [smooth_picture(60, 80, seed) for seed in (11, 12, 13)]
#: With the features of `huge`, float32 overflows where the content's are far above the style's.
DIVERGING = {"content_weight": 1e12, "loss_scaling": "none", "learning_rate": 1.0, "steps": 5}


def huge(network: Network) -> Network:
    """Return a network whose weights are 3e8 times as large."""
    return Network.of("huge", {n: k._replace(weights=k.weights * np.float32(3e8)) for n, k in network.kernels.items()})


@pytest.mark.parametrize("batch", [2, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"colors": "luminance"},
        {"colors": "match"},
        {"averaging": 0.5},
        {"optimizer": "lbfgs"},
        {"style_statistic": "wasserstein", "color_weight": 1.0, "laplacian_weight": 1.0},
    ],
    ids=str,
)
def test_images_painted_together_equal_those_painted_one_by_one(
    style: Picture, network: Network, batch: int, changes: dict[str, object]
) -> None:
    params = changed(**changes)

    together = run_group(CONTENTS, style, params, network, planner=Fixed(Plan(batch, 0)), steps_per_call=2)

    for content, chunks in zip(CONTENTS, together, strict=True):
        alone = run(content, style, params, network, steps_per_call=2)
        np.testing.assert_allclose(every_loss(chunks), every_loss(alone), rtol=1e-4, atol=1e-7)
        assert np.abs(chunks[-1].image() - alone[-1].image()).max() < 1 / 255
        assert chunks[-1].final


def test_an_image_no_longer_wanted_is_dropped_and_the_others_continue(style: Picture, network: Network) -> None:
    subjects = [Subject(content) for content in CONTENTS]
    asked: list[int] = []

    def wanted(number: int) -> bool:
        asked.append(number)
        return number != 1 or asked.count(1) <= 2

    chunks = list(stylize(subjects, [Style(style)], SMALL, network, wanted=wanted, steps_per_call=1))

    assert [set(chunk) for chunk in chunks[:3]] == [{0, 1, 2}, {0, 1, 2}, {0, 2}]
    assert chunks[-1][0].final
    assert np.abs(chunks[-1][2].image() - run(CONTENTS[2], style, SMALL, network)[-1].image()).max() < 1 / 255


def test_a_run_without_wanted_images_ends(style: Picture, network: Network) -> None:
    subjects = [Subject(content) for content in CONTENTS]

    assert list(stylize(subjects, [Style(style)], SMALL, network, wanted=lambda _: False)) == []


def test_an_image_that_diverges_ends_and_the_others_continue(style: Picture, network: Network) -> None:
    contents = [CONTENTS[0], np.full_like(CONTENTS[1], np.nan), CONTENTS[2]]

    first, bad, last = run_group(contents, style, SMALL, network)

    assert bad[-1].final
    assert bad[-1].error is not None
    assert bad[-1].error.fields["step"] == 1
    assert bad[-1].losses == ()
    assert first[-1].last == last[-1].last == 10
    assert first[-1].error is last[-1].error is None


def test_a_run_that_diverges_returns_the_last_finite_image(content: Picture, style: Picture, network: Network) -> None:
    chunks = run(content, style, changed(**DIVERGING), huge(network))

    assert chunks[-1].final
    assert chunks[-1].error is not None
    assert chunks[-1].error.code == "diverged"
    assert np.isfinite(chunks[-1].image()).all()


def test_the_gram_matrices_of_a_style_are_cached_for_the_next_job(
    content: Picture, style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[int] = []
    compute = StyleSet._compute
    monkeypatch.setattr(StyleSet, "_compute", lambda self, *style: (evaluated.append(1), compute(self, *style))[1])
    named = [Style(style, key="the style")]

    first = run(content, named, SMALL, network)
    assert len(evaluated) == 2
    second = run(content, named, changed(steps=4), network)

    assert len(evaluated) == 2
    assert first[0].losses[0] == second[0].losses[0]


def test_memory_that_runs_out_after_a_first_group_painted_changes_no_image(
    style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [smooth_picture(24, 32, seed) for seed in range(6)]
    expected = run_group(contents, style, SMALL, network, planner=Fixed(Plan(5, 0)), steps_per_call=2)
    calls, run_call = itertools.count(1), ImageGroup.run_call

    def exhaust_once(group: ImageGroup) -> dict[int, Chunk]:
        if next(calls) == 2:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return run_call(group)

    monkeypatch.setattr(ImageGroup, "run_call", exhaust_once)
    found = run_group(contents, style, SMALL, network, planner=Fixed(Plan(5, 0)), steps_per_call=2)

    for before, after in zip(expected, found, strict=True):
        np.testing.assert_allclose(every_loss(after), every_loss(before), rtol=1e-4, atol=1e-7)
        assert np.abs(after[-1].image() - before[-1].image()).max() < 1 / 255


def test_the_time_of_a_step_is_that_of_the_steps_made_before_it_diverged(
    content: Picture, style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(image_group, "time", SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    params = changed(**DIVERGING, start_size=0)

    [chunk] = run(content, style, params, huge(network), planner=Fixed(Plan(1, 32)), steps_per_call=5)

    assert chunk.error is not None
    evaluated = len(chunk.losses) + 1
    assert evaluated < 5
    assert chunk.step_ms == pytest.approx(1000 / evaluated)
