"""Tables and sheets of facts on a terminal, and as plain lines where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared import clock

#: Heading, least width and, for figures, the right side.
Column = tuple[str, int] | tuple[str, int, Literal["left", "right"]]

#: Width of a line that a program reads.
_PIPE_WIDTH = 400

_COLOURS = {
    "queued": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "canceled": "magenta",
    "expired": "magenta",
    "working": "cyan",
    "idle": "green",
    "paused": "yellow",
    "open": "yellow",
    "finished": "green",
    "drained": "yellow",
    "gone": "red",
    "pending": "yellow",
    "delivered": "green",
    "done": "green",
    "stopped": "magenta",
}


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]], *, nothing: str) -> None:
    """Print a line a row; only the last column is cut, or say on stderr that there is `nothing`."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, least, *side in columns[:-1]:
        table.add_column(heading, no_wrap=True, min_width=least, justify=side[0] if side else "left")
    table.add_column(columns[-1][0], no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    if table.row_count:
        _console().print(table)
    else:
        Console(stderr=True).print(nothing)


def print_sheet(facts: Iterable[tuple[str, Any]]) -> None:
    """Print a line a fact, its name before it."""
    sheet = Table(box=None, show_header=False, pad_edge=False)
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column(overflow="fold")
    for name, value in facts:
        sheet.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    _console().print(sheet)


def coloured(state: str) -> Text:
    """Write a state in its colour."""
    return Text(str(state), style=_COLOURS.get(state, ""))


def age(created_at: str | None) -> str:
    """Write how long ago that was, in its largest unit."""
    if not created_at:
        return ""
    seconds = max(0.0, (clock.now() - datetime.fromisoformat(created_at)).total_seconds())
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _console() -> Console:
    """Open stdout; where it is no terminal, lines are never cut to a terminal's width."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
