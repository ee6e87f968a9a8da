"""The submission form: a field for each parameter of `StyleParams`, and the way back from a form to a request.

An empty field means the preset's value. Field values stay text; the API's own validation converts them.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from api.dashboard import forms
from api.http import bodies, problems
from shared.errors import AtelierError, InvalidRequest
from shared.painting.params import PRESETS, StyleParams, resolve

#: The parameters in each group of fields.
GROUPS: dict[str, tuple[str, ...]] = {
    "Picture": ("size", "colors", "style_scale", "init", "seed", "timelapse"),
    "Scales and steps": ("start_size", "scale_factor", "steps", "coarse_steps_factor", "early_stop",
                         "early_stop_window", "averaging"),
    "Losses": ("content_weight", "style_weight", "tv_weight", "color_weight", "laplacian_weight", "laplacian_pool",
               "tv_stencil", "content_layers", "style_layers", "style_statistic", "gram_normalization", "loss_scaling"),
    "Optimizer": ("optimizer", "lbfgs_history", "learning_rate", "final_learning_rate", "beta_1", "beta_2", "epsilon"),
    "Network and device": ("pooling", "pooling_scale", "padding", "antialias", "precision", "tile_size"),
}  # fmt: skip
#: Prefix of a parameter's field name.
PREFIX = "p-"
NAMES = tuple(PREFIX + name for name in StyleParams.model_fields)
#: The other fields, by their names in a request.
_FIELDS = {"styles": "style"} | {
    name: name for name in ("content", "style", "preset", "label", "priority", "depth", "keep_metadata", "time_limit_s")
}
#: Fields whose errors are whole sentences, which need no field name in front.
_SELF_EXPLANATORY = ("", "content", "style")
#: Parameters with a choice of whole numbers, which are not read from text.
_CHOICES_OF_NUMBERS = {
    name
    for name, field in StyleParams.model_json_schema()["properties"].items()
    if "enum" in field and field["type"] == "integer"
}
#: What to type for null.
_NULL = "null"


class Field(NamedTuple):
    """A parameter as a form field."""

    name: str
    #: `number`, `choice`, `layers`, or `text` for a number that may be null.
    kind: str
    help: str
    unit: str
    choices: tuple[str, ...]
    bounds: dict[str, float | str]
    #: The value of each preset, as it would be typed.
    presets: dict[str, str]


def fields() -> dict[str, list[Field]]:
    """Return the fields by group."""
    described = StyleParams.model_json_schema()["properties"]
    presets = {name: resolve(name).model_dump(mode="json") for name in PRESETS}
    return {
        group: [
            _field(name, described[name], {preset: _text(of[name]) for preset, of in presets.items()}) for name in names
        ]
        for group, names in GROUPS.items()
    }


def params(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that were filled in; raise `InvalidParams` for layers that are not JSON."""
    found: dict[str, Any] = {}
    for name in StyleParams.model_fields:
        text = form.get(PREFIX + name, "").strip()
        if text:
            found[name] = _read(name, text)
    return found


def settings(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what is asked of the result and of the run besides parameters."""
    depth = form.get("depth", "8")
    return {
        "depth": int(depth) if depth.isdecimal() else depth,
        "keep_metadata": form.get("keep_metadata") == "true",
        "time_limit_s": forms.number(form.get("time_limit_s", "")),
    }


def errors_by_field(error: AtelierError | None) -> dict[str, str]:
    """Return the message for each field that an error points at; "" stands for the whole form."""
    found: dict[str, str] = {}
    for each in error.fields.get("errors", ()) if error else ():
        first, _, rest = each["pointer"].removeprefix("/").partition("/")
        name = PREFIX + rest.partition("/")[0] if first == "params" and rest else _FIELDS.get(first, "")
        detail = each["detail"].removeprefix(f"{each['pointer']}: ")
        found[name] = f"{found[name]} {detail}" if name in found else detail
    return found


def messages(error: AtelierError | None) -> list[str]:
    """Return all messages of an error, with field names where they need them."""
    if error is None:
        return []
    found = errors_by_field(error).items()
    return [
        detail if name in _SELF_EXPLANATORY else f"{name.removeprefix(PREFIX)}: {detail}" for name, detail in found
    ] or [error.detail]


def values(params: Mapping[str, Any]) -> dict[str, str]:
    """Return the field values that `params` reads as these parameters."""
    return {PREFIX + name: _text(value) for name, value in params.items()}


def _read(name: str, text: str) -> Any:
    """Return the value that was typed: as text, unless only another type is accepted."""
    if name.endswith("_layers"):
        return _layers(name, text)
    if name in _CHOICES_OF_NUMBERS and text.isdecimal():
        return int(text)
    return None if text == _NULL else text


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
    unit = described.get("x-unit", "")
    return Field(name, kind, described["description"], unit, choices, {**bounds, "step": step}, presets)


def _text(value: Any) -> str:
    """Format a value as it would be typed."""
    if value is None or isinstance(value, bool | dict):
        return json.dumps(value)
    brief = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(value) if isinstance(value, float) and float(brief) != value else brief
