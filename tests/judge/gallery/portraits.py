"""Faces of people and animals, each in two styles: where a change of the content loss shows first."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from tests.judge.gallery import sheets
from tests.judge.painting import painted
from tests.judge.pairs import FOLDER

_STYLES = ("woman_with_a_hat.jpg", "starry_night.jpg")
#: The faces, and the box of the photograph around each: left, top, right, bottom.
_FACES = {
    "hopper.jpg": (100, 0, 440, 400),
    "astronaut.jpg": (0, 0, 360, 400),
    "cameraman.jpg": (0, 0, 360, 360),
    "chelsea.jpg": (0, 0, 451, 300),
    "raccoon.jpg": (0, 0, 480, 416),
}


class Portrait(NamedTuple):
    """A part of a photograph, and a painting; stands in for a pair."""

    content: str
    box: tuple[int, int, int, int]
    style: str

    @property
    def name(self) -> str:
        """The name of a picture made of both."""
        return f"{Path(self.content).stem}-{Path(self.style).stem}"

    def opened(self) -> tuple[Image.Image, Image.Image]:
        """Open both."""
        content, style = (Image.open(FOLDER / file).convert("RGB") for file in (self.content, self.style))
        return content.crop(self.box), style


PORTRAITS = tuple(Portrait(content, box, style) for content, box in _FACES.items() for style in _STYLES)


def page(variants: Mapping[str, Mapping[str, Any]], size: int, folder: Path, chosen: Sequence[Portrait]) -> str:
    """Paint the portraits by each named set of changes, write a row of pictures each; describe them in Markdown."""
    columns = ", ".join(["the photograph", "the painting", *variants])
    lines = [f"# Portraits at {size} px", "", f"Each row: {columns}. The numbers: style distance, content distance."]
    for portrait in chosen:
        lines += [
            "",
            f"**{portrait.name}** · {_row(portrait, variants, size, folder)}",
            "",
            f"![]({portrait.name}.jpg)",
        ]
    return "\n".join(lines) + "\n"


def _row(portrait: Portrait, variants: Mapping[str, Mapping[str, Any]], size: int, folder: Path) -> str:
    found = {name: painted(portrait, "balanced", **{"size": size, **changes}) for name, changes in variants.items()}
    pictures = [*portrait.opened(), *(each.picture for each in found.values())]
    sheets.keep(sheets.row(pictures, height=size), folder / f"{portrait.name}.jpg")
    return " · ".join(_told(portrait.name, found))


def _told(portrait: str, found: Mapping[str, Any]) -> Iterator[str]:
    for name, each in found.items():
        style, content, _ = each.distances
        print(f"{portrait:<36} {name:<36} {each.took_s:6.1f} s  style {style:.4f} content {content:.3f}", flush=True)
        yield f"{name} {style:.3f}, {content:.2f}"
