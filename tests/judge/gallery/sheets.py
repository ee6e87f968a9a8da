"""Rows of pictures at one height, as small JPEGs. What each picture is, the text around them says."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

#: A row of five pictures of this height is twice as wide as a page, and 80 to 170 kB.
HEIGHT_PX = 256
_GAP_PX = 6
_QUALITY = 80


def row(pictures: Sequence[Image.Image], height: int = HEIGHT_PX) -> Image.Image:
    """Put pictures beside each other, each brought to the height, with white between them."""
    scaled = [
        picture.convert("RGB").resize(
            (round(picture.width * height / picture.height), height), Image.Resampling.LANCZOS
        )
        for picture in pictures
    ]
    width = sum(picture.width for picture in scaled) + _GAP_PX * (len(scaled) - 1)
    sheet, left = Image.new("RGB", (width, height), "white"), 0
    for picture in scaled:
        sheet.paste(picture, (left, 0))
        left += picture.width + _GAP_PX
    return sheet


def keep(sheet: Image.Image, path: Path) -> None:
    """Write a row as a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=_QUALITY, optimize=True, progressive=True)
