"""The contact sheet: content, style and result side by side, with the losses of every step below.

Lengths are in pixels. All pictures get the same height, and the sheet becomes as wide as they need;
`api.sheets.loss_chart` draws the chart. Invariant: any pictures and any losses give a sheet.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from api.sheets.loss_chart import INK, QUIET, draw_losses, font

Picture = NDArray[np.float32]

_MARGIN, _GAP = 48, 24
_PICTURE_HEIGHT, _CHART_HEIGHT = 400, 300
#: Narrowest and widest shape of a picture, as width / height; others are cropped to these.
_NARROWEST, _WIDEST = 0.5, 2.0
_PAPER = (250, 249, 246)


def contact_sheet(
    content: Picture, styles: Sequence[Picture], result: Picture, losses: Mapping[str, Sequence[float]], *, caption: str
) -> bytes:
    """Draw the sheet as a PNG; pictures are `[height, width, 3]` in 0 to 1, losses one value per step, by name."""
    shown = [("Style" if len(styles) == 1 else f"Style {number}", style) for number, style in enumerate(styles, 1)]
    tiles = [(name, _tile(picture)) for name, picture in (("Content", content), *shown, ("Result", result))]
    width = 2 * _MARGIN + sum(tile.width for _, tile in tiles) + _GAP * (len(tiles) - 1)
    top = _MARGIN + 44
    chart_top = top + _PICTURE_HEIGHT + 104
    sheet = Image.new("RGB", (width, chart_top + _CHART_HEIGHT + 76), _PAPER)
    draw = ImageDraw.Draw(sheet)
    # Pillow's own font has no multiplication sign
    draw.text((_MARGIN, _MARGIN - 12), caption.replace("×", "x"), INK, font(22))
    left = _MARGIN
    for name, tile in tiles:
        sheet.paste(tile, (left, top))
        draw.text((left, top + _PICTURE_HEIGHT + 12), name, QUIET, font(16))
        left += tile.width + _GAP
    draw_losses(sheet, (_MARGIN + 56, chart_top, width - _MARGIN, chart_top + _CHART_HEIGHT), losses)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _tile(picture: Picture) -> Image.Image:
    """Scale a picture to the common height, cropping one that is too wide or too narrow around its centre."""
    image = Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    shape = min(max(image.width / image.height, _NARROWEST), _WIDEST)
    wide, high = min(image.width, image.height * shape), min(image.height, image.width / shape)
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    size = round(_PICTURE_HEIGHT * shape), _PICTURE_HEIGHT
    return image.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + wide, top + high))
