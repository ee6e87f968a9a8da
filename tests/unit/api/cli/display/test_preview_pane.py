"""The picture above the bar: how a terminal gets it, where it gets none, and what is left of it."""

import base64
import io
import re

import pytest
from PIL import Image
from rich.console import Console

from api.cli.display.job_bar import JobBar
from api.cli.display.preview_pane import PreviewPane
from api.cli.display.terminal_images import Box, Draw, box_for, choose_renderer
from api.client.models import Event, Job, Unreachable

JOB = Job.model_validate({"id": "j", "state": "running"})


def picture(width: int = 30, height: int = 20, colour: tuple[int, int, int] = (200, 10, 10)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def terminal(width: int = 80, height: int = 24, colours: str | None = "truecolor", **more: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=colours, **more)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def draw_of(console: Console, **environment: str) -> Draw:
    found = choose_renderer(console, environment)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("environment", "sign"),
    [
        ({"TERM": "xterm-kitty"}, "\x1b_G"),
        ({"KITTY_WINDOW_ID": "1"}, "\x1b_G"),
        ({"TERM_PROGRAM": "ghostty"}, "\x1b_G"),
        ({"TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;File=inline=1"),
        ({"TERM_PROGRAM": "WezTerm"}, "\x1b]1337;File=inline=1"),
        ({"TERM": "xterm-256color"}, "▀"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "▀"),
        ({"TMUX": "/tmp/x", "TERM_PROGRAM": "iTerm.app"}, "▀"),
    ],
)
def test_a_terminal_gets_pictures_in_the_way_that_it_knows(environment: dict[str, str], sign: str) -> None:
    console = terminal()
    PreviewPane(console, draw_of(console, **environment), picture).show(picture())
    assert sign in written(console)


@pytest.mark.parametrize(
    "console",
    [
        Console(file=io.StringIO()),
        terminal(colours=None),
        terminal(colours="standard"),
        terminal(no_color=True),
    ],
)
def test_where_no_picture_can_be_shown_there_is_no_word_of_it(console: Console) -> None:
    assert choose_renderer(console, {}) is None


@pytest.mark.parametrize(
    ("size", "room", "box"),
    [
        ((300, 200), (80, 24), Box(60, 20)),
        ((200, 300), (80, 24), Box(27, 20)),
        ((300, 200), (30, 24), Box(29, 10)),
        ((300, 200), (80, 12), Box(24, 8)),
        ((9000, 10), (80, 24), Box(64, 1)),
        ((300, 200), (80, 7), None),
        ((300, 200), (8, 24), None),
    ],
)
def test_a_picture_keeps_its_shape_within_the_terminal(
    size: tuple[int, int], room: tuple[int, int], box: Box | None
) -> None:
    assert box_for(picture(*size), terminal(*room)) == box


def test_a_second_picture_is_drawn_over_the_first_and_takes_no_further_line() -> None:
    console = terminal()
    pane = PreviewPane(console, draw_of(console), picture)
    for colour in ((200, 10, 10), (10, 200, 10)):
        pane.show(picture(colour=colour))
    text = written(console)
    assert text.count("\n") == 20
    assert text.count("\x1b[20A") == 2
    assert text.count("\x1b[1B") == 2 * 20
    assert "38;2;200;10;10" in text.partition("\x1b[?2026l")[0]
    assert "38;2;10;200;10" in text.partition("\x1b[?2026l")[2]


def test_half_blocks_are_the_upper_pixel_on_the_lower_one() -> None:
    image = Image.new("RGB", (8, 8), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 8, 4))
    out = io.BytesIO()
    image.save(out, "PNG")
    console = terminal()
    segments = list(draw_of(console)(out.getvalue(), Box(8, 4)))
    rows = [segment for segment in segments if "▀" in segment.text]
    assert [len(row.text) for row in rows] == [8] * 4
    assert [str(row.style) for row in rows] == [*["#ff0000 on #ff0000"] * 2, *["#0000ff on #0000ff"] * 2]


def test_kitty_gets_a_png_in_chunks_that_it_can_take() -> None:
    console = terminal()
    noise = Image.effect_noise((200, 100), 90).convert("RGB")
    out = io.BytesIO()
    noise.save(out, "JPEG")
    PreviewPane(console, draw_of(console, TERM="xterm-kitty"), picture).show(out.getvalue())
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", written(console))
    assert len(chunks) > 2
    assert {"f=100", "C=1", "q=2", "c=64", "r=16"} <= set(chunks[0][0].split(","))
    assert [keys[-3:] for keys, _ in chunks] == [*["m=1"] * (len(chunks) - 1), "m=0"]
    assert max(len(data) for _, data in chunks) <= 4096
    with Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in chunks)))) as image:
        assert (image.format, image.size) == ("PNG", (200, 100))


def test_the_last_picture_is_shown_when_the_job_has_ended() -> None:
    console = terminal()
    with JobBar(JOB, console, pane=PreviewPane(console, draw_of(console), picture)) as bar:
        bar.show(Event("", "end", {"state": "succeeded"}))
    assert "▀" in written(console)
    assert written(console).endswith("\n\x1b[?25h")


def test_nothing_is_drawn_after_it_was_left_in_a_hurry() -> None:
    console = terminal()
    pane = PreviewPane(console, draw_of(console), picture)
    with pytest.raises(KeyboardInterrupt), pane:
        raise KeyboardInterrupt
    pane.show(picture())
    assert written(console) == ""


@pytest.mark.parametrize("trouble", [Unreachable("away"), None])
def test_a_frame_that_cannot_be_had_or_read_is_passed_over(trouble: Exception | None) -> None:
    def fetch() -> bytes:
        if trouble:
            raise trouble
        return b"no picture"

    console = terminal()
    with PreviewPane(console, draw_of(console), fetch) as pane:
        pane.announce()
    assert written(console) == ""
