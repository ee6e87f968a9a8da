"""The gallery: what its page says of each picture, its rows, and the changes that a command line names."""

import math

import pytest
from PIL import Image
from pydantic import ValidationError

from tests.judge.gallery import sheets
from tests.judge.gallery.__main__ import changes, main
from tests.judge.gallery.curves import Point, reached_s, table
from tests.judge.gallery.page import Figures, Shown, page
from tests.judge.gallery.portraits import PORTRAITS
from tests.judge.pairs import FIRST, FOLDER, PAIRS, TITLES

_OURS = {"balanced": Figures(47.4, 0.052, 0.46), "fast": Figures(14.0, 0.063, 0.61)}
_BOTH = {**_OURS, "pastiche": Figures(math.nan, 0.079, 1.47)}


def test_a_page_without_other_programs_names_none() -> None:
    said = page([Shown(FIRST, 0.599, _OURS)], 384, timed=True)

    assert "pastiche" not in said
    assert "| Tübingen × *The Starry Night* | 0.599 | 0.052, 0.46 |" in said
    assert "| Atelier, `balanced` | 47 s | 0.052 | 0.46 |" in said


def test_a_page_tells_a_time_that_is_not_known_from_one_that_is() -> None:
    said = page([Shown(FIRST, 0.599, _BOTH)], 384, timed=True)

    assert "1.6.0 | not measured | 0.079 | 1.47 |" in said
    assert "47 s" not in page([Shown(FIRST, 0.599, _BOTH)], 384, timed=False)


def test_who_did_not_paint_every_pair_has_no_mean() -> None:
    said = page(
        [Shown(FIRST, 0.599, _BOTH), Shown(PAIRS[1], 0.739, {"balanced": Figures(1, 0.044, 0.24)})], 384, timed=True
    )

    assert "| mean | 0.669 | 0.048, 0.35 |  |" in said


def test_lines_are_as_short_as_the_documents_are() -> None:
    said = page([Shown(FIRST, 0.599, _BOTH)], 384, timed=True)

    assert [line for line in said.splitlines() if len(line) > 120 and line[0] not in "|!"] == []


def test_a_row_has_every_picture_whole_and_at_one_height() -> None:
    sheet = sheets.row([Image.new("RGB", (100, 50), "red"), Image.new("L", (50, 100), 0)], height=60)

    assert sheet.size == (120 + 6 + 30, 60)
    assert [sheet.getpixel((x, 59)) for x in (0, 119, 122, 126)] == [(255, 0, 0)] * 2 + [(255, 255, 255), (0, 0, 0)]


def test_changes_are_read_as_values_of_parameters() -> None:
    read = changes('tv_weight=0.5,pooling=average,content_layers={"block3_conv2":1}')
    assert read == {"tv_weight": 0.5, "pooling": "average", "content_layers": {"block3_conv2": 1}}
    with pytest.raises(ValidationError):
        changes("tv_wait=1")
    with pytest.raises(ValueError, match="NAME=VALUE"):
        changes("tv_weight")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--pastiche no/python", "--pastiche"),
        ("--size 0", "--size"),
        ("--first -1", "--first"),
        ("--against tv_weight=1", "--portraits"),
        ("--portraits --curves", "one or the other"),
        ("--neural-style-pt .", "needs --torch"),
    ],
)
def test_a_command_line_that_cannot_be_obeyed_is_refused_before_painting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: str, said: str
) -> None:
    monkeypatch.setattr("sys.argv", ["gallery", *options.split()])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_every_portrait_is_there_and_every_pair_has_a_title() -> None:
    assert len({portrait.name for portrait in PORTRAITS}) == len(PORTRAITS) == 10
    for portrait in PORTRAITS:
        with Image.open(FOLDER / portrait.content) as opened:
            width, height = opened.size
        left, top, right, bottom = portrait.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    assert {file for pair in PAIRS for file in pair[:2]} == set(TITLES)


def test_a_curve_tells_when_a_distance_was_first_reached() -> None:
    points = [Point(1.0, 0.5, 0.1), Point(4.0, 0.09, 0.4), Point(6.0, 0.11, 0.4)]

    assert reached_s(points, 0.3) == reached_s(points, 0.1) == 4.0
    assert reached_s(points, 0.05) is None
    said = table({"balanced": points})
    assert "| 0.2 | 4 s |" in said
    assert "| 0.08 | never |" in said
    assert "| at its end | 6 s, 0.110 |" in said
