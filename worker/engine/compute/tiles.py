"""How a picture is cut into tiles whose gradients add up to the whole picture's.

Exact: a pixel's gradient depends on the positions that see it, and these on all that they see; tiles with a halo of
that reach give what the whole picture gives, up to rounding. Tiles begin at multiples of 16 px so that pooling pairs
the same pixels.

Sizes are (height, width) in pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shared.painting.vgg19 import ALIGNMENT_PX

#: Beyond any picture: the box of a tile at the border takes all that is left.
_END = 2**30


class Tile(NamedTuple):
    """A rectangle of a picture with its halo, `top:bottom, left:right`, and the box in it that counts, from its top."""

    top: int
    left: int
    bottom: int
    right: int
    box: tuple[int, int, int, int]

    def of(self, maps: Any, step: int = 1) -> Any:
        """Cut the tile out of maps `[any, height, width, …]`, of which a position stands for `step` pixels."""
        rows, columns = (slice(a // step, -(-b // step)) for a, b in ((self.top, self.bottom), (self.left, self.right)))
        return maps[:, rows, columns]

    def place(self, step: int = 1) -> tuple[slice, slice]:
        """Tell where its inside lies in maps of which a position stands for `step` pixels."""
        edges = zip((self.top, self.left), self.box[:2], self.box[2:], strict=True)
        rows, columns = (slice((at + first) // step, (at + last) // step) for at, first, last in edges)
        return rows, columns


def tiles(size: tuple[int, int], side: int, margin: int) -> list[Tile]:
    """Cut (height, width) into tiles of at most about `side` pixels, as even as can be, with `margin` around each."""
    rows, columns = _cuts(size[0], side), _cuts(size[1], side)
    found = []
    for top, bottom in rows:
        for left, right in columns:
            outer = (
                max(0, top - margin),
                max(0, left - margin),
                min(size[0], bottom + margin),
                min(size[1], right + margin),
            )
            box = (
                top - outer[0],
                left - outer[1],
                _END if bottom == size[0] else bottom - outer[0],
                _END if right == size[1] else right - outer[1],
            )
            found.append(Tile(*outer, box))
    return found


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    """Cut a length into even parts of at most `side`, where that is possible at multiples of the alignment."""
    count = max(1, -(-length // side))
    marks = [round(length * i / count / ALIGNMENT_PX) * ALIGNMENT_PX for i in range(count)]
    return list(zip(marks, [*marks[1:], length], strict=True))
