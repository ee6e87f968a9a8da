"""Tables and lists of facts, in a terminal and as plain lines for pipes."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared import clock
from shared.texts import printable

#: Heading, minimum width and, for figures, the alignment.
Column = tuple[str, int] | tuple[str, int, Literal["left", "right"]]

#: Width of a line written to a pipe, where nothing should be cut: two paths of the greatest length fit.
_PIPE_WIDTH = 10_000

#: The states of jobs, batches, workers, operations and deliveries, by their colour.
_STATES = {
    "yellow": ("queued", "open", "paused", "drained", "pending"),
    "cyan": ("running", "working"),
    "green": ("succeeded", "finished", "idle", "done", "delivered"),
    "red": ("failed", "gone"),
    "magenta": ("canceled", "expired", "stopped"),
}
_COLOURS = {state: colour for colour, states in _STATES.items() for state in states}


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str | Text]], *, nothing: str, whole: bool = False
) -> None:
    """Print one line per row, cutting only the last column; without rows, say `nothing` on stderr.

    With `whole`, nothing is cut: columns without a minimum width take several lines in a narrow terminal.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, least, *side in columns[:-1]:
        folds = whole and not least
        table.add_column(
            heading,
            no_wrap=not folds,
            overflow="fold" if folds else "ellipsis",
            min_width=least,
            justify=side[0] if side else "left",
        )
    table.add_column(columns[-1][0], no_wrap=not whole, overflow="fold" if whole else "ellipsis")
    for row in rows:
        table.add_row(*map(_shown, row))
    if table.row_count:
        _console().print(table)
    else:
        Console(stderr=True).print(nothing)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print one line per fact, its name first; facts that are None or empty are left out."""
    sheet = Table(box=None, show_header=False, pad_edge=False)
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column(overflow="fold")
    for name, value in facts.items():
        if value is not None and value != "":
            sheet.add_row(name, _shown(value))
    _console().print(sheet)


def _shown(value: Any) -> Text:
    if not isinstance(value, Text):
        return Text(printable(str(value)))
    shown = value.copy()
    shown.plain = printable(value.plain)
    return shown


def coloured(state: str) -> Text:
    """Write a state in its colour."""
    return Text(state, style=_COLOURS.get(state, ""))


def age(created_at: str | None) -> str:
    """Write how long ago that was, in its largest unit."""
    if not created_at:
        return ""
    seconds = max(0.0, (clock.now() - datetime.fromisoformat(created_at)).total_seconds())
    for unit_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def duration_text(seconds: float) -> str:
    """Write a duration as people say it: `12 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest_s = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest_s:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _console() -> Console:
    """Open stdout; a pipe gets wide lines instead of a terminal's width."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
