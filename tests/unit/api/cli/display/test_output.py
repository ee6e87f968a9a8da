"""What people read in a terminal: whole words, whole commands, no codes that a name smuggles in."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from api.cli.display import layout, output
from api.cli.display.tables import FailedPicture, print_failed_pictures


@pytest.fixture
def terminal(monkeypatch) -> Callable[[bool], io.StringIO]:
    """Make every console one of 80 columns, on a terminal or a pipe."""

    def use(is_terminal: bool) -> io.StringIO:
        out = io.StringIO()

        def console(*, stderr: bool = False, width: int = 80) -> Console:
            return Console(file=out, force_terminal=is_terminal, width=width, color_system=None, stderr=stderr)

        for module in (layout, output):
            monkeypatch.setattr(module, "Console", console)
        return out

    return use


def test_sentences_are_broken_between_words_but_no_command_is(terminal) -> None:
    out = terminal(True)
    command = "`atelier watch 01a22d9c-e7f1-7b1a-b478-34c49a384a03 -o painted.png`."
    output.say(f"The job keeps running. Come back with {command}\n  a list keeps its lines")
    assert out.getvalue() == f"The job keeps running. Come back with\n{command}\n  a list keeps its lines\n"


def test_a_pipe_gets_sentences_whole(terminal) -> None:
    out = terminal(False)
    output.say("word " * 40)
    assert out.getvalue().count("\n") == 1


def test_a_message_of_an_error_leaves_room_for_what_stands_before_it(terminal) -> None:
    terminal(True)
    assert output.laid_out("x" * 70 + " yyyy", indent=7) == "x" * 70 + "\nyyyy"
    assert output.laid_out("x" * 70 + " yyyy") == "x" * 70 + " yyyy"


@pytest.mark.parametrize("name", ["\x1b[31m.png", "a\rb.png", "\udcff.png"])
def test_names_move_no_cursor(terminal, name: str) -> None:
    out = terminal(True)
    output.say(f"Wrote {name}.")
    layout.print_facts({"label": name})
    layout.print_table((("LABEL", 0),), [[name]], nothing="")
    assert not {"\x1b", "\r", "\udcff"} & set(out.getvalue())


def test_failed_pictures_are_told_whole_in_80_columns(terminal) -> None:
    out = terminal(True)
    reason = "The file is not a JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF or BMP image."
    name = "holidays/2030/" + "n" * 60 + ".jpg"
    print_failed_pictures([FailedPicture(name, "unsupported_image", reason)])
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    columns = [lines[0].index(heading) for heading in ("PICTURE", "CODE", "REASON")]
    told = [
        " ".join(line[start:end].strip() for line in lines[1:])
        for start, end in zip(columns, [*columns[1:], 80], strict=True)
    ]
    assert (told[0].replace(" ", ""), told[1].strip(), told[2]) == (name, "unsupported_image", reason)


def test_failed_pictures_take_a_line_each_in_a_pipe(terminal) -> None:
    out = terminal(False)
    print_failed_pictures([FailedPicture("n" * 255, "unwritable", "r" * 4096)])
    assert len(out.getvalue().splitlines()) == 2
