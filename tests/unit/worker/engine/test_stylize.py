"""A run of one image: its steps, scales and end."""

import itertools

import numpy as np
import pytest

from shared.errors import InvalidParams
from tests.unit.worker.engine.small_runs import SMALL, changed, every_loss, run
from worker.engine.compute.whole_image import whole_image_evaluator
from worker.engine.objective.total_loss import ObjectiveSpec
from worker.engine.stylize import stylize
from worker.engine.types import Losses, Picture, Style, Subject
from worker.engine.vgg.network import Network


def test_every_step_of_every_scale_is_reported(content: Picture, style: Picture, network: Network) -> None:
    chunks = run(content, style, SMALL, network)

    numbers = [number for chunk in chunks for number in range(chunk.first, chunk.last + 1)]
    assert numbers == list(range(1, 11))
    assert {chunk.total for chunk in chunks} == {10}
    assert {(chunk.scale, chunk.scales, chunk.size) for chunk in chunks} == {(1, 2, (32, 24)), (2, 2, (64, 48))}
    assert all(chunk.step_ms > 0 for chunk in chunks)
    assert chunks[0].eta_s > chunks[-1].eta_s == 0
    assert [chunk.final for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_several_steps_per_call_equal_single_ones(content: Picture, style: Picture, network: Network) -> None:
    single = run(content, style, SMALL, network, steps_per_call=1)
    joined = run(content, style, SMALL, network, steps_per_call=4)

    assert [len(chunk.losses) for chunk in joined] == [4, 1, 4, 1]
    np.testing.assert_array_equal(every_loss(single), every_loss(joined))
    np.testing.assert_array_equal(single[-1].image(), joined[-1].image())


def test_the_image_of_each_chunk_has_the_size_of_its_scale_and_is_in_range(
    content: Picture, style: Picture, network: Network
) -> None:
    subject = Subject(content)
    for chunks in stylize([subject], [Style(style)], SMALL, network, steps_per_call=3):
        picture = chunks[0].image()
        assert picture.shape == (chunks[0].size[1], chunks[0].size[0], 3)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_painting_lowers_the_loss_and_the_total_is_the_sum_of_its_parts(
    content: Picture, style: Picture, network: Network
) -> None:
    losses = every_loss(run(content, style, changed(start_size=0, steps=30), network))

    assert losses[-1].total < 0.5 * losses[0].total
    for step in losses:
        assert step.total == pytest.approx(step.content + step.style + step.tv, rel=1e-5)


def test_several_styles_are_blended_by_their_weights(content: Picture, style: Picture, network: Network) -> None:
    def first_loss(*styles: Style) -> Losses:
        return run(content, styles, changed(steps=1), network)[0].losses[0]

    alone = first_loss(Style(style))
    assert first_loss(Style(style, 2.0), Style(content, 0.0)) == pytest.approx(alone, rel=1e-5)
    assert first_loss(Style(style, 1.0), Style(content, 1.0)).style < alone.style


def test_styles_without_a_weight_above_0_are_refused(content: Picture, style: Picture, network: Network) -> None:
    with pytest.raises(InvalidParams):
        run(content, [Style(style, 0.0)], SMALL, network)


def test_neither_another_size_nor_another_number_of_steps_compiles_again(style: Picture, network: Network) -> None:
    for height, width, steps in ((40, 50, 2), (50, 40, 3), (64, 33, 7)):
        content = np.zeros((height, width, 3), np.float32)
        params = changed(size=max(height, width), steps=steps, tv_weight=float(steps))
        run(content, style, params, network, steps_per_call=steps)

    evaluator = whole_image_evaluator(network, ObjectiveSpec.from_params(SMALL, precision="float32"))
    assert evaluator._compiled_steps.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("changes", [{}, {"averaging": 0.8}, {"optimizer": "lbfgs"}, {"tile_size": 32}], ids=str)
def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(
    content: Picture, style: Picture, network: Network, at: int, changes: dict[str, object]
) -> None:
    params = changed(**changes)
    undisturbed = run(content, style, params, network, steps_per_call=3)
    halted = stylize([Subject(content)], [Style(style)], params, network, steps_per_call=3)
    chunk = next(itertools.islice(halted, at, None))[0]
    # as a file would keep it
    kept = {name: np.array(array) for name, array in chunk.snapshot().state.items()}

    resumed = Subject(content, resume=chunk.snapshot()._replace(state=kept))
    rest = run(resumed, style, params, network, steps_per_call=1)

    made = undisturbed[at].last
    if chunk.final:
        assert rest == []
    else:
        assert rest[0].first == made + 1
        np.testing.assert_array_equal(every_loss(rest), every_loss(undisturbed)[made:])
        np.testing.assert_array_equal(rest[-1].image(), undisturbed[-1].image())


def test_the_same_seed_gives_the_same_bytes_twice(content: Picture, style: Picture, network: Network) -> None:
    first, second, other = (
        run(content, style, changed(init="noise", seed=seed), network, steps_per_call=2)[-1].image()
        for seed in (7, 7, 8)
    )

    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != other.tobytes()
