"""Pictures in a terminal: by its own graphics protocol where it announces one, else by coloured half blocks.

Each renderer draws into the rows above the cursor's line and leaves the cursor where it was, so that a picture covers
the one before it and nothing else moves.

Source: the documentation of the graphics protocols of kitty and iTerm2.
"""

import base64
import io
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import ControlType, Segment
from rich.style import Style

#: Most columns and rows of a picture, and the fewest rows worth drawing.
_MOST_COLUMNS, _MOST_ROWS, _FEWEST_ROWS = 64, 20, 4
#: Rows reserved for what stands below it.
_ROWS_BELOW = 4
#: Bytes of Base64 in one chunk of kitty's protocol.
_CHUNK = 4096
#: kitty replaces an earlier picture with the same number.
_PICTURE_NUMBER = 7171
#: Synchronized output: terminals that support it show everything in between at once.
_SYNC_START, _SYNC_END = "\x1b[?2026h", "\x1b[?2026l"


class Box(NamedTuple):
    """Where a picture is drawn, in cells; a cell is about twice as high as wide."""

    columns: int
    rows: int


#: Draws the encoded picture above the cursor.
Draw = Callable[[bytes, Box], Iterator[Segment]]


def choose_renderer(console: Console, environment: Mapping[str, str]) -> Draw | None:
    """Return the best renderer for this terminal; None if it cannot show pictures."""
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    program, term = environment.get("TERM_PROGRAM", ""), environment.get("TERM", "")
    if not ("TMUX" in environment or term.startswith(("screen", "tmux"))):  # which pass no graphics on
        if "KITTY_WINDOW_ID" in environment or term == "xterm-kitty" or program == "ghostty":
            return _kitty
        if program in ("iTerm.app", "WezTerm"):
            return _iterm
    return _half_blocks if console.color_system in ("truecolor", "256") and not console.no_color else None


def box_for(picture: bytes, console: Console) -> Box | None:
    """Fit a picture's shape into the terminal; return None if there is too little space."""
    with Image.open(io.BytesIO(picture)) as image:
        width, height = image.size
    most_columns, most_rows = min(console.width - 1, _MOST_COLUMNS), min(console.height - _ROWS_BELOW, _MOST_ROWS)
    if most_rows < _FEWEST_ROWS or most_columns < 2 * _FEWEST_ROWS:
        return None
    scale = min(most_columns / width, 2 * most_rows / height)
    return Box(max(1, round(width * scale)), max(1, round(height * scale / 2)))


class Drawing:
    """A picture as rich prints it: print it with `end=""` and without cropping."""

    def __init__(self, picture: bytes, box: Box, draw: Draw) -> None:
        """Draw `picture` into `box`, above the line of the cursor."""
        self._segments = list(draw(picture, box))  # decode first, so that a broken picture draws nothing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _control(_SYNC_START)
        yield from self._segments
        yield _control(_SYNC_END)


def _half_blocks(picture: bytes, box: Box) -> Iterator[Segment]:
    """Two pixels in each cell: the upper in the colour of `▀`, the lower in the background colour."""
    with Image.open(io.BytesIO(picture)) as image:
        size = (box.columns, 2 * box.rows)
        raw = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).tobytes()
    pixels = [Color.from_rgb(*raw[start : start + 3]) for start in range(0, len(raw), 3)]
    yield _control(f"\r\x1b[{box.rows}A")
    for row in range(box.rows):
        start = 2 * row * box.columns
        lower = start + box.columns
        cells = zip(pixels[start:lower], pixels[lower : lower + box.columns], strict=True)
        for (above, below), run in groupby(cells):
            yield Segment("▀" * len(list(run)), Style(color=above, bgcolor=below))
        yield _control("\r\x1b[1B")


def _kitty(picture: bytes, box: Box) -> Iterator[Segment]:
    """Send a PNG in chunks, stretched to the box; `C=1` leaves the cursor, `q=2` keeps the terminal from answering."""
    with Image.open(io.BytesIO(picture)) as image:
        png = io.BytesIO()
        image.convert("RGB").save(png, "PNG")
    data = base64.standard_b64encode(png.getvalue()).decode()
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    how = f"a=T,f=100,i={_PICTURE_NUMBER},p=1,c={box.columns},r={box.rows},C=1,q=2,"
    yield _control(f"\r\x1b[{box.rows}A")
    for number, chunk in enumerate(chunks, start=1):
        keys = f"{how if number == 1 else ''}m={int(number < len(chunks))}"
        yield _control(f"\x1b_G{keys};{chunk}\x1b\\")
    yield _control(f"\r\x1b[{box.rows}B")


def _iterm(picture: bytes, box: Box) -> Iterator[Segment]:
    """Send the file as it is; restore the cursor, which moves with the picture."""
    data = base64.standard_b64encode(picture).decode()
    how = f"inline=1;size={len(picture)};width={box.columns};height={box.rows};preserveAspectRatio=0"
    yield _control(f"\x1b7\r\x1b[{box.rows}A\x1b]1337;File={how}:{data}\x07\x1b8")


def _control(text: str) -> Segment:
    """Return a control sequence, which rich must neither measure nor change."""
    return Segment(text, None, [(ControlType.CURSOR_MOVE_TO_COLUMN, 0)])
