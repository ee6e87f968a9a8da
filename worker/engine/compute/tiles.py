"""How an image is cut into tiles whose gradients add up to that of the whole image.

Exact: the gradient of a pixel depends on the positions that see it, and those on all that they see. Tiles with a halo
that wide give the gradient of the whole image, up to rounding. Tiles start at multiples of 16 px, so that pooling
groups the same pixels.

Sizes are (height, width) in pixels.
"""

from typing import Any, NamedTuple

from shared.painting.vgg19 import ALIGNMENT_PX

#: Beyond any image: the interior of a tile at the right or lower border takes all that is left.
_END = 2**30


class Tile(NamedTuple):
    """A rectangle of an image with its halo, and its interior `box` (top, left, bottom, right) counted from its corner.

    The interiors of all tiles cover the image exactly once.
    """

    top: int
    left: int
    bottom: int
    right: int
    box: tuple[int, int, int, int]

    def crop(self, maps: Any, step: int = 1) -> Any:
        """Crop maps `[any, height, width, …]` to the tile and its halo; a position stands for `step` pixels."""
        rows, columns = (slice(a // step, -(-b // step)) for a, b in ((self.top, self.bottom), (self.left, self.right)))
        return maps[:, rows, columns]

    def interior(self, step: int = 1) -> tuple[slice, slice]:
        """Return where the interior lies in maps of which a position stands for `step` pixels."""
        edges = zip((self.top, self.left), self.box[:2], self.box[2:], strict=True)
        rows, columns = (slice((corner + start) // step, (corner + end) // step) for corner, start, end in edges)
        return rows, columns


def tile_grid(size: tuple[int, int], side: int, halo: int) -> list[Tile]:
    """Cut (height, width) into tiles of nearly equal size, of about `side` pixels at most, plus `halo` around each."""
    rows, columns = _cuts(size[0], side), _cuts(size[1], side)
    tiles = []
    for top, bottom in rows:
        for left, right in columns:
            y, x = max(0, top - halo), max(0, left - halo)
            box_bottom = _END if bottom == size[0] else bottom - y
            box_right = _END if right == size[1] else right - x
            box = top - y, left - x, box_bottom, box_right
            tiles.append(Tile(y, x, min(size[0], bottom + halo), min(size[1], right + halo), box))
    return tiles


def _cuts(length: int, side: int) -> list[tuple[int, int]]:
    """Cut a length into (start, end) of nearly equal parts of about `side`, at multiples of the alignment."""
    count = max(1, -(-length // side))
    marks = [round(length * i / count / ALIGNMENT_PX) * ALIGNMENT_PX for i in range(count)]
    return list(zip(marks, [*marks[1:], length], strict=True))
