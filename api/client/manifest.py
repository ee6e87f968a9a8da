"""The manifest of a result, read so that the picture can be painted again and the two be compared.

Limits: the same bytes come out only where version, weights and device are the same. What the first run chose by its
machine (precision, tiles, L-BFGS's history) is demanded of the second, as far as the manifest tells it: for the
tiles that is the side at the last scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from api.client.job_request import Wishes
from api.client.models import ClientError
from shared.painting.params import PRESETS, WEIGHTS_NAMES

#: Params that may leave the choice to the machine, each told under its own name by how the run went.
_CHOSEN = ("precision", "tile_size", "lbfgs_history")


class _Choice(BaseModel):
    image: str
    weight: float = 1.0
    mask: str | None = None


class _Picture(BaseModel):
    sha256: str
    partial: bool = False


class Manifest(BaseModel):
    """What decided a picture, and how it was painted."""

    model_config = ConfigDict(frozen=True)
    preset: str
    params: dict[str, Any]
    content: str
    styles: list[_Choice]
    init: str | None = None
    weights: dict[str, Any] = {}
    engine: dict[str, Any] = {}
    device: dict[str, Any] = {}
    atelier: str | None = None
    group: int = 1
    result: _Picture

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Read the JSON of `GET /v1/jobs/ID/manifest`; raise `ClientError` if it is something else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ClientError(
                f"This is no manifest of a result: {f'{where}: ' if where else ''}{first['msg']}."
            ) from None

    @property
    def images(self) -> list[str]:
        """The ids of all pictures that it was painted from, each once."""
        masks = (style.mask for style in self.styles)
        ids = (self.content, *(style.image for style in self.styles), *masks, self.init)
        return [image for image in dict.fromkeys(ids) if image]

    @property
    def wishes(self) -> Wishes:
        """What to ask for, beside content and styles, to have it painted again."""
        name = self.weights.get("name")
        chosen = {name: self.engine[name] for name in _CHOSEN if self.engine.get(name)}
        return {
            "masks": [style.mask for style in self.styles],
            "init_image": self.init,
            "preset": self.preset if self.preset in PRESETS else "classic",  # all params are given, whatever it was
            "params": {**self.params, **chosen},
            "weights": name if name in WEIGHTS_NAMES else None,
        }

    def unlike(self, other: Manifest) -> Iterator[str]:
        """Say what else was not as with `other`, which would explain another picture."""
        if self.result.partial or other.result.partial:
            yield "one of the two was not painted to its end"
        mine, theirs = self._course(), other._course()
        for name in dict.fromkeys((*mine, *theirs)):
            if mine.get(name) != theirs.get(name):
                yield f"{name}: {mine.get(name, 'unknown')}, then {theirs.get(name, 'unknown')}"

    def _course(self) -> dict[str, Any]:
        """Collect what decides the bytes beside what was asked for."""
        chosen = {name: self.engine[name] for name in _CHOSEN if name in self.engine}
        # why no better weights were had decides nothing
        weights = {name: fact for name, fact in self.weights.items() if name != "reason"}
        told = {"atelier": self.atelier, "weights": weights, "device": self.device, "group": self.group}
        return dict(_leaves(told | chosen))


def _leaves(facts: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each single fact by its path, such as `device.versions.keras`; of a hash its beginning."""
    for name, fact in facts.items():
        if isinstance(fact, dict):
            yield from _leaves(fact, f"{within}{name}.")
        else:
            yield f"{within}{name}", fact[:12] if name == "sha256" else fact
