"""The form of a job, made of `StyleParams`: a field for each parameter, by group, and back to a request.

An empty field leaves its parameter as the preset has it. Texts become numbers where the API reads the request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from api.http import bodies, problems
from shared.errors import AtelierError, InvalidRequest
from shared.painting.params import PRESETS, StyleParams, resolve

#: Where each parameter stands.
GROUPS: dict[str, tuple[str, ...]] = {
    "Picture": ("size", "colors", "style_scale", "init", "seed", "timelapse"),
    "Scales and steps": ("start_size", "scale_factor", "steps", "early_stop", "early_stop_window", "averaging"),
    "Losses": (
        "content_weight",
        "style_weight",
        "tv_weight",
        "content_layers",
        "style_layers",
        "gram_normalization",
        "loss_scaling",
    ),
    "Optimiser": (
        "optimizer",
        "lbfgs_history",
        "learning_rate",
        "final_learning_rate",
        "beta_1",
        "beta_2",
        "epsilon",
    ),
    "Network and machine": ("pooling", "padding", "antialias", "precision", "tile_size"),
}
#: What the name of a parameter's field begins with.
PREFIX = "p-"
NAMES = tuple(PREFIX + name for name in StyleParams.model_fields)
#: The other fields, by what they are called in a request.
_FIELDS = {name: name for name in ("content", "style", "preset", "label", "priority")} | {"styles": "style"}
#: Those whose mistakes are whole sentences.
_SPEAKING = ("content", "style")
#: How null is typed.
_NULL = "null"


class Field(NamedTuple):
    """A parameter as a field of the form."""

    name: str
    #: `number`, `choice`, `layers`, or `text` for a number that can also be null.
    kind: str
    help: str
    unit: str
    choices: tuple[str, ...]
    bounds: dict[str, float | str]
    #: What each preset has, as text.
    presets: dict[str, str]


def fields() -> dict[str, list[Field]]:
    """Return the fields, by group."""
    described = StyleParams.model_json_schema()["properties"]
    presets = {name: resolve(name).model_dump(mode="json") for name in PRESETS}
    return {
        group: [
            _field(name, described[name], {preset: _text(of[name]) for preset, of in presets.items()}) for name in names
        ]
        for group, names in GROUPS.items()
    }


def params(form: Mapping[str, str]) -> dict[str, Any]:
    """Read the parameters that are filled in; raise `InvalidParams` for layers that are no JSON."""
    found: dict[str, Any] = {}
    for name in StyleParams.model_fields:
        text = form.get(PREFIX + name, "").strip()
        if text:
            found[name] = _layers(name, text) if name.endswith("_layers") else None if text == _NULL else text
    return found


def mistakes(error: AtelierError | None) -> dict[str, str]:
    """Return what is wrong with each field, as far as an error points at some; "" stands for the whole."""
    found: dict[str, str] = {}
    for each in error.fields.get("errors", ()) if error else ():
        first, _, rest = each["pointer"].removeprefix("/").partition("/")
        name = PREFIX + rest.partition("/")[0] if first == "params" and rest else _FIELDS.get(first, "")
        detail = each["detail"].removeprefix(f"{each['pointer']}: ")
        found[name] = f"{found[name]} {detail}" if name in found else detail
    return found


def told(error: AtelierError | None) -> list[str]:
    """Return all that an error says, each mistake with the name of its field where that does not say it itself."""
    if error is None:
        return []
    found = mistakes(error).items()
    return [
        detail if name in ("", *_SPEAKING) else f"{name.removeprefix(PREFIX)}: {detail}" for name, detail in found
    ] or [error.detail]


def filled(departures: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of the fields for parameters that depart from the preset."""
    return {PREFIX + name: _text(value) for name, value in departures.items()}


def _layers(name: str, text: str) -> Any:
    try:
        return bodies.json_value(text.encode())
    except InvalidRequest:
        raise problems.pointed_error(f"/params/{name}", 'Write layers as JSON, such as {"block3_conv2": 1}.') from None


def _field(name: str, described: Mapping[str, Any], presets: dict[str, str]) -> Field:
    kinds = [described, *described.get("anyOf", ())]
    choices = next((tuple(map(str, kind["enum"])) for kind in kinds if "enum" in kind), ())
    types = {kind.get("type") for kind in kinds}
    if "boolean" in types:
        choices = ("true", "false")
    kind = "choice" if choices else "layers" if "object" in types else "text" if "null" in types else "number"
    bounds: dict[str, float | str] = {
        side: limit
        for side, names in (("min", ("minimum", "exclusiveMinimum")), ("max", ("maximum", "exclusiveMaximum")))
        for each in kinds
        for limit in (each[word] for word in names if word in each)
    }
    step = described.get("multipleOf", 1) if "integer" in types else "any"
    unit = described.get("unit", "")
    return Field(name, kind, described["description"], unit, choices, {**bounds, "step": step}, presets)


def _text(value: Any) -> str:
    """Write a value as it would be typed."""
    if value is None or isinstance(value, bool | dict):
        return json.dumps(value)
    brief = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(value) if isinstance(value, float) and float(brief) != value else brief
