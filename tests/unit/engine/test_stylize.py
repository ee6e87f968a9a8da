import itertools

import numpy as np
import pytest
import tensorflow as tf

from shared.errors import Diverged, InvalidParams, OutOfMemory
from shared.params import StyleParams, resolve
from worker.engine.network import Network
from worker.engine.objective import Objective, Recipe, Weights
from worker.engine.steps import Chunk, Losses, Picture, Style
from worker.engine.stylize import stylize

SHALLOW = {"content_layers": {"block2_conv1": 1.0}, "style_layers": {"block1_conv1": 1.0, "block2_conv1": 0.5}}
SMALL = resolve("balanced", {"size": 64, "start_size": 32, "scale_factor": 2, "steps": 5, **SHALLOW})


def every_loss(chunks: list[Chunk]) -> list[Losses]:
    return list(itertools.chain.from_iterable(chunk.losses for chunk in chunks))


def test_every_step_of_every_scale_is_numbered_and_reported(content: Picture, style: Picture, network: Network) -> None:
    chunks = list(stylize(content, [Style(style)], SMALL, network))

    numbers = [number for chunk in chunks for number in range(chunk.first, chunk.last + 1)]
    assert numbers == list(range(1, 11))
    assert {chunk.total for chunk in chunks} == {10}
    assert {(chunk.scale, chunk.scales, chunk.size) for chunk in chunks} == {(1, 2, (32, 24)), (2, 2, (64, 48))}
    assert all(chunk.step_ms > 0 for chunk in chunks)
    assert chunks[0].eta_s > chunks[-1].eta_s == pytest.approx(0)


def test_steps_in_one_call_are_the_steps_of_single_calls(content: Picture, style: Picture, network: Network) -> None:
    single = list(stylize(content, [Style(style)], SMALL, network, steps_per_call=1))
    joined = list(stylize(content, [Style(style)], SMALL, network, steps_per_call=4))

    assert [len(chunk.losses) for chunk in joined] == [4, 1, 4, 1]
    np.testing.assert_array_equal(every_loss(single), every_loss(joined))
    np.testing.assert_array_equal(single[-1].image(), joined[-1].image())


def test_the_picture_of_each_chunk_is_whole_and_within_range(
    content: Picture, style: Picture, network: Network
) -> None:
    for chunk in stylize(content, [Style(style)], SMALL, network, steps_per_call=3):
        picture = chunk.image()
        assert picture.shape == (chunk.size[1], chunk.size[0], 3)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_painting_lowers_the_loss_and_the_total_is_the_sum(content: Picture, style: Picture, network: Network) -> None:
    params = SMALL.model_copy(update={"start_size": 0, "steps": 30})

    losses = every_loss(list(stylize(content, [Style(style)], params, network)))

    assert losses[-1].total < 0.5 * losses[0].total
    for step in losses:
        assert step.total == pytest.approx(step.content + step.style + step.tv, rel=1e-5)


def test_the_first_loss_is_that_of_the_content_itself(content: Picture, network: Network) -> None:
    params = SMALL.model_copy(update={"start_size": 0, "tv_weight": 0.0})

    first = next(stylize(content, [Style(content)], params, network)).losses[0]

    assert first.total == pytest.approx(0, abs=1e-6)


def test_several_styles_are_blended_by_their_weights(content: Picture, style: Picture, network: Network) -> None:
    def first_loss(*styles: Style) -> Losses:
        return next(stylize(content, styles, SMALL, network)).losses[0]

    alone = first_loss(Style(style))
    assert first_loss(Style(style, 2.0), Style(content, 0.0)) == pytest.approx(alone, rel=1e-5)
    assert first_loss(Style(style, 1.0), Style(content, 1.0)).style < alone.style


def test_styles_without_weight_are_refused(content: Picture, style: Picture, network: Network) -> None:
    with pytest.raises(InvalidParams):
        next(stylize(content, [Style(style, 0.0)], SMALL, network))


def test_a_loss_that_is_not_finite_ends_the_run_with_its_step(
    content: Picture, style: Picture, network: Network
) -> None:
    with pytest.raises(Diverged) as error:
        list(stylize(content, [Style(style * np.float32(1e30))], SMALL, network))

    assert error.value.fields["step"] == 1


def test_an_exhausted_device_is_out_of_memory(
    content: Picture, style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(Objective, "targets", exhausted)

    with pytest.raises(OutOfMemory):
        next(stylize(content, [Style(style)], SMALL, network))


def test_no_picture_size_and_no_number_of_steps_compiles_again(style: Picture, network: Network) -> None:
    from worker.engine.objective import objective

    for height, width, steps in ((40, 50, 2), (50, 40, 3), (64, 33, 7)):
        content = np.zeros((height, width, 3), np.float32)
        params = SMALL.model_copy(update={"size": max(height, width), "steps": steps, "tv_weight": float(steps)})
        list(stylize(content, [Style(style)], params, network, steps_per_call=steps))

    assert objective(network, Recipe.of(SMALL)).advance.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("scaling", ["none", "target"])
def test_the_gradient_is_that_of_finite_differences(
    scaling: str, content: Picture, style: Picture, network: Network
) -> None:
    params = StyleParams(**SHALLOW, loss_scaling=scaling, content_weight=1.0, style_weight=1.0, pooling="average")
    model, weights = Objective(network, Recipe.of(params)), Weights.of(params)
    targets = model.targets(content[np.newaxis, :16, :16], [(style[np.newaxis, :16, :16], 1.0)])
    at = tf.constant(content[np.newaxis, 8:24, 8:24])

    def total(picture: tf.Tensor) -> tf.Tensor:
        return model.parts(picture, targets, weights)[0]

    with tf.GradientTape() as tape:
        tape.watch(at)
        value = total(at)
    gradient = tape.gradient(value, at)
    direction = gradient / tf.norm(gradient)
    reach = 1e-2

    slope = (total(at + reach * direction) - total(at - reach * direction)) / (2 * reach)

    assert float(slope) == pytest.approx(float(tf.norm(gradient)), rel=1e-2)


@pytest.mark.parametrize("at", range(4))
def test_going_on_from_a_snapshot_is_bit_equal_to_an_undisturbed_run(
    content: Picture, style: Picture, network: Network, at: int
) -> None:
    whole = list(stylize(content, [Style(style)], SMALL, network, steps_per_call=3))
    halted = stylize(content, [Style(style)], SMALL, network, steps_per_call=3)
    snapshot = next(itertools.islice(halted, at, None)).snapshot()

    rest = list(stylize(content, [Style(style)], SMALL, network, resume=snapshot, steps_per_call=1))

    made = whole[at].last
    if made < whole[-1].total:
        assert rest[0].first == made + 1
        np.testing.assert_array_equal(every_loss(rest), every_loss(whole)[made:])
        np.testing.assert_array_equal(rest[-1].image(), whole[-1].image())
    else:
        assert rest == []
