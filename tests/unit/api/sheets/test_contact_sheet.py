"""The contact sheet shows every picture and every loss, whatever they are."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from api.sheets import loss_chart
from api.sheets.contact_sheet import contact_sheet

RED, GREEN, BLUE = (np.full((60, 90, 3), colour, np.float32) for colour in np.eye(3))
LOSSES = {"total": [100.0, 30.0, 11.0], "content": [1.0, 2.0, 3.0], "style": [99.0, 28.0, 8.0]}
INK, CONTENT, STYLE = (32, 33, 38), (29, 112, 184), (208, 84, 40)


def sheet(content=RED, styles=(GREEN,), result=BLUE, losses=LOSSES, caption="balanced") -> np.ndarray:
    data = contact_sheet(content, styles, result, losses, caption=caption)
    return np.asarray(Image.open(io.BytesIO(data), formats=["PNG"]))


def where(pixels: np.ndarray, colour: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.nonzero((pixels == colour).all(axis=2))


def test_content_style_and_result_stand_side_by_side_at_one_height() -> None:
    pixels = sheet()
    boxes = [where(pixels, tuple(255 * channel for channel in colour)) for colour in np.eye(3, dtype=int).tolist()]
    assert len({(rows.min(), rows.max()) for rows, _ in boxes}) == 1
    edges = [edge for _, columns in boxes for edge in (columns.min(), columns.max())]
    assert edges == sorted(edges)


@pytest.mark.parametrize("colour", [INK, CONTENT, STYLE])
def test_each_loss_has_a_curve_over_the_whole_width_and_a_mark_in_the_legend(colour) -> None:
    pixels = sheet()
    rows, columns = where(pixels[560:], colour)
    assert columns.max() - columns.min() > 0.85 * pixels.shape[1]
    assert (rows < 40).any()


def test_a_falling_loss_falls_on_the_sheet() -> None:
    rows, columns = where(sheet(losses={"style": [1000.0, 1.0]})[620:], STYLE)
    left, right = rows[columns < np.median(columns)], rows[columns > np.median(columns)]
    assert right.mean() > left.mean() + 100


def test_equal_ratios_are_equal_heights() -> None:
    axes = loss_chart._Axes((0, 0, 100, 300), 3, 0.0, 3.0)
    assert [axes.y(value) for value in (1, 10, 100, 1000)] == pytest.approx([300, 200, 100, 0])
    assert [axes.x(step) for step in (1, 2, 3)] == [0, 50, 100]


@pytest.mark.parametrize("values", [[], [0.0], [math.nan, math.inf], [5.0], [5.0] * 4, [1e-9, 1e9], [0.0, 1.0, 0.0]])
def test_any_losses_give_a_sheet(values) -> None:
    assert sheet(losses={"total": values}).shape[2] == 3
    assert sheet(losses={"a loss of another name": values}).shape[2] == 3


def test_no_losses_are_said_and_not_drawn() -> None:
    assert len(where(sheet(losses={})[560:], INK)[0]) == 0
    assert sheet(losses={})[560:].min() < 200


def test_a_value_that_a_logarithm_cannot_show_leaves_a_gap() -> None:
    whole = where(sheet(losses={"style": [3.0, 3.0, 3.0, 3.0]})[620:], STYLE)[1]
    broken = where(sheet(losses={"style": [3.0, 3.0, 0.0, 3.0]})[620:], STYLE)[1]
    assert len(set(broken)) < 0.6 * len(set(whole))


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1)])
def test_pictures_of_any_shape_keep_the_sheet_in_bounds(shape) -> None:
    pixels = sheet(content=np.zeros((*shape, 3), np.float32))
    assert 900 < pixels.shape[1] < 2300


def test_every_style_gets_its_place() -> None:
    assert sheet(styles=[GREEN, GREEN]).shape[1] > sheet(styles=[GREEN]).shape[1] + 500


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-9, 9), (0.3, 0.31), (5.99, 6.4), (-4, -3.2)])
def test_an_axis_has_two_to_eight_marks_inside_it(low, high) -> None:
    ticks = loss_chart._ticks(low, high)
    assert 2 <= len(ticks) <= 8
    assert all(10**low <= tick <= 10**high for tick in ticks)


@pytest.mark.parametrize(("value", "text"), [
    (1000.0, "1,000"), (1e7, "1e7"), (0.05, "0.05"), (3e-7, "3e-7"), (10.0, "10"), (100.0, "100"), (1e12, "1e12"),
])  # fmt: skip
def test_numbers_are_written_as_a_person_would(value, text) -> None:
    assert loss_chart._number_text(value) == text


@pytest.mark.parametrize(("at_least", "expected"), [(1, 1), (1.1, 2), (3, 5), (6, 10), (60, 100), (62.5, 100)])
def test_steps_are_marked_at_round_numbers(at_least, expected) -> None:
    assert loss_chart._round_number(at_least) == expected


def test_the_caption_and_the_names_are_written_in_the_margins() -> None:
    with_caption, without = sheet(caption="classic · 15 steps · 512 × 384"), sheet(caption="")
    changed = np.nonzero((with_caption != without).any(axis=2))[0]
    assert changed.max() < 80
