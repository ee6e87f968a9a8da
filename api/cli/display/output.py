"""Where a command's output goes: data to stdout for programs, sentences to stderr for people.

Invariant: no command prints in any other way, so that nothing a server says controls the terminal.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from api.cli.display.layout import Column, print_table
from api.client.models import Resource
from shared.texts import printable, printable_lines

Item = TypeVar("Item", bound=Resource)

#: What is not broken over lines: a command between backticks, or a word.
_UNBROKEN = re.compile(r"[^\s`]*`[^`]*`\S*|\S+")


def emit(found: Any, draw: Callable[[Any], object], *, as_json: bool) -> None:
    """Print a resource, or a list of them, as JSON for programs or through `draw` for people."""
    if as_json:
        print_json(found.raw() if isinstance(found, Resource) else [each.raw() for each in found])
    else:
        draw(found)


def emit_table(
    found: Iterable[Item],
    columns: Sequence[Column],
    cells: Callable[[Item], Sequence[str | Text]],
    *,
    nothing: str,
    as_json: bool,
) -> None:
    """Print resources as JSON for programs, or as a table with a row of `cells` each; without any, say `nothing`."""
    emit(list(found), lambda items: print_table(columns, map(cells, items), nothing=nothing), as_json=as_json)


def print_json(value: Any) -> None:
    """Print one value for programs."""
    click.echo(json.dumps(value, indent=2))  # in ASCII, so every control character is escaped


def print_id(found: Any) -> None:
    """Print only the id, which the next command needs."""
    echo(found.id)


def echo(text: object) -> None:
    """Print one line of data on stdout; what a terminal should not be sent is escaped, whoever wrote it."""
    click.echo(printable(str(text)))


def echo_lines(text: str) -> None:
    """Print data of several lines on stdout, each as `echo` does."""
    click.echo(printable_lines(text), nl=False)


def counted(number: int, noun: str) -> str:
    """Write a number before its noun: `1 picture`, `2 pictures`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def say(sentence: str) -> None:
    """Tell people something on stderr, since stdout is for programs."""
    Console(stderr=True).print(laid_out(sentence), highlight=False, markup=False, soft_wrap=True)


def laid_out(text: str, *, indent: int = 0) -> str:
    """Escape what a terminal should not be sent, and break lines as wide as the terminal of stderr, if it is one.

    Commands between backticks, long words and lines that begin with a space stay whole, so that they can be copied.
    `indent` is the width of what stands before the first line.
    """
    console = Console(stderr=True)
    lines = [printable(line) for line in text.split("\n")]
    if not console.is_terminal:
        return "\n".join(lines)
    width = console.width
    return "\n".join(_broken(line, width, 0 if number else indent) for number, line in enumerate(lines))


def _broken(line: str, width: int, indent: int) -> str:
    if line.startswith(" "):
        return line
    broken, column = "", indent
    for word in _UNBROKEN.findall(line):
        if broken and column + 1 + cell_len(word) > width:
            broken, column = f"{broken}\n{word}", cell_len(word)
        else:
            broken, column = f"{broken} {word}" if broken else word, column + bool(broken) + cell_len(word)
    return broken
