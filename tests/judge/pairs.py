"""The pairs that presets are tuned on, each of another kind; the files, and whose they are, in `docs/pictures`."""

from pathlib import Path
from typing import NamedTuple

from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"


class Pair(NamedTuple):
    """A photograph and a painting, by the names of their files, and what they are a case of."""

    content: str
    style: str
    kind: str

    @property
    def name(self) -> str:
        """The name of a picture made of both."""
        return f"{Path(self.content).stem}-{Path(self.style).stem}"

    @property
    def title(self) -> str:
        """What both show."""
        return f"{TITLES[self.content]} × {TITLES[self.style]}"

    def opened(self) -> tuple[Image.Image, Image.Image]:
        """Open both files."""
        content, style = (Image.open(FOLDER / file).convert("RGB") for file in (self.content, self.style))
        return content, style


#: What the files show, as a caption says it.
TITLES = {
    "tubingen.jpg": "Tübingen",
    "hopper.jpg": "Grace Hopper",
    "coffee.jpg": "an espresso",
    "chelsea.jpg": "a cat",
    "rocket.jpg": "a rocket at dusk",
    "starry_night.jpg": "*The Starry Night*",
    "woman_with_a_hat.jpg": "*Woman with a Hat*",
    "poster.png": "a flat poster",
    "dots.jpg": "points of colour",
    "pencil.jpg": "a drawing in pencil",
}
#: The pair that programs of style transfer are compared on.
FIRST = Pair("tubingen.jpg", "starry_night.jpg", "coarse strokes")
PAIRS = (
    FIRST,
    Pair("hopper.jpg", "woman_with_a_hat.jpg", "a portrait"),
    Pair("coffee.jpg", "poster.png", "a flat poster"),
    Pair("chelsea.jpg", "dots.jpg", "fine strokes"),
    Pair("rocket.jpg", "starry_night.jpg", "a night scene"),
    Pair("tubingen.jpg", "pencil.jpg", "a drawing in grey"),
)
