"""The manifest of a result, read so that the picture can be painted again and both be compared.

Identical bytes come out only with the same version, weights and device. What the first run chose to suit its machine
(precision, tiles, L-BFGS's history) is requested of the second run, as far as the manifest records it; for the tiles
that is their side at the last scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from .job_request import JobOptions
from .models import ClientError
from .names import PRESETS, WEIGHTS

#: Parameters that may leave the choice to the machine; the manifest's `engine` records the choice under that name.
_CHOSEN = ("precision", "tile_size", "lbfgs_history")


class _Style(BaseModel):
    image: str
    weight: float = 1.0
    mask: str | None = None


class _Result(BaseModel):
    sha256: str
    partial: bool = False


class Manifest(BaseModel):
    """What determined a picture, and how it was painted."""

    model_config = ConfigDict(frozen=True)
    preset: str
    params: dict[str, Any]
    content: str
    styles: list[_Style]
    init: str | None = None
    weights: dict[str, Any] = {}
    engine: dict[str, Any] = {}
    device: dict[str, Any] = {}
    atelier: str | None = None
    group: int = 1
    depth: int = 8
    keep_metadata: bool = False
    result: _Result

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Parse the JSON of `GET /v1/jobs/ID/manifest`; raise `ClientError` if it is something else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ClientError(f"This is not a manifest: {f'{where}: ' if where else ''}{first['msg']}.") from None

    @property
    def images(self) -> list[str]:
        """The ids of all pictures that it was painted from, each once."""
        masks = (style.mask for style in self.styles)
        ids = (self.content, *(style.image for style in self.styles), *masks, self.init)
        return [image for image in dict.fromkeys(ids) if image]

    @property
    def options(self) -> JobOptions:
        """The options with which `Client.submit` paints the picture again."""
        weights = self.weights.get("name")
        chosen = {name: self.engine[name] for name in _CHOSEN if self.engine.get(name)}
        return {
            "masks": [style.mask for style in self.styles],
            "init_image": self.init,
            # any preset will do, because every parameter is given
            "preset": self.preset if self.preset in PRESETS else "classic",
            "params": {**self.params, **chosen},
            "weights": weights if weights in WEIGHTS else None,
            # an older server knows neither
            "depth": self.depth if self.depth != 8 else None,
            "keep_metadata": self.keep_metadata or None,
        }

    def differences(self, other: Manifest) -> Iterator[str]:
        """Describe each difference from a later run that may explain a different picture."""
        if self.result.partial or other.result.partial:
            yield "one of the two was not painted to its end"
        mine, theirs = self._conditions(), other._conditions()
        for name in dict.fromkeys((*mine, *theirs)):
            if mine.get(name) != theirs.get(name):
                yield f"{name}: {mine.get(name, 'unknown')}, then {theirs.get(name, 'unknown')}"

    def _conditions(self) -> dict[str, Any]:
        """Collect what determines the bytes besides the request."""
        chosen = {name: self.engine[name] for name in _CHOSEN if name in self.engine}
        # `reason` explains why better weights were missing; it changes no bytes
        weights = {name: fact for name, fact in self.weights.items() if name != "reason"}
        facts = {"atelier": self.atelier, "weights": weights, "device": self.device, "group": self.group}
        return dict(_flatten(facts | chosen))


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each fact by its dotted path, such as `device.versions.keras`, and hashes shortened."""
    for name, fact in facts.items():
        if isinstance(fact, dict):
            yield from _flatten(fact, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", fact[:12] if name == "sha256" else fact
