"""The JSON schemas of all models in the document.

The models' own validators are code, which pydantic cannot describe; what JSON Schema can express of them is added here.
Generators of clients turn `oneOf` and `anyOf` into types of their own, so beside properties such a rule is a `not`,
which they pass over.

Invariant: a property has a default only if leaving it out is the same as sending that value, for generated models send
their defaults.
"""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.openapi import examples
from api.openapi.parameters import REF, JsonObject, printable_text
from api.schemas import jobs
from shared.painting.params import MIN_SIDE_PX, StyleParams
from shared.painting.vgg19 import LAYERS

#: Models of changes: what is left out stays as it is, or as the preset has it.
_CHANGES = ("BatchChange", "JobFilter", "RetryFailedRequest", "RetryRequest", "StyleParams")
_REFERENCE = re.compile(re.escape(REF).replace(r"\{model\}", r"(\w+)"))
_IS_GIVEN = {"not": {"type": "null"}}


def is_model(shape: Any) -> bool:
    """Return whether a shape is a model, rather than a plain schema."""
    return isinstance(shape, type) and issubclass(shape, BaseModel)


def schema(shape: Any) -> JsonObject:
    """Return the schema of a shape; that of a model is a reference."""
    return {"$ref": REF.format(model=shape.__name__)} if is_model(shape) else dict(shape)


def schemas_of(outgoing: Iterable[Any], incoming: Iterable[Any]) -> JsonObject:
    """Return the schema of every model among the shapes, with examples."""
    used: Any = [(model, "serialization") for model in (*outgoing, jobs.ProblemView) if is_model(model)]
    used += [(model, "validation") for model in (*incoming, StyleParams) if is_model(model)]
    _, definitions = models_json_schema(list(dict.fromkeys(used)), ref_template=REF)
    models: JsonObject = definitions["$defs"]
    models["Wish"] = models.pop("DesiredState")  # its name in the published document
    models["WorkerView"]["properties"]["wish"]["$ref"] = REF.format(model="Wish")
    for name in _referred_to(models, [model.__name__ for model in incoming if is_model(model)]):
        _refine_texts(models[name])
    _refine_params(models["StyleParams"]["properties"])
    for name in _CHANGES:
        _drop_defaults(models[name]["properties"])
    _refine_request(models["JobRequest"])
    # here too the model accepts anything, so that one bad item refuses no other
    models["ItemsRequest"]["properties"]["items"]["anyOf"][0]["items"] = {"$ref": REF.format(model="ItemRequest")}
    for name in ("JobRequest", "BatchRequest"):
        models[f"{name}Part"] = _beside_files(models[name])
    examples.add(models)
    return dict(sorted(models.items()))


def _referred_to(models: JsonObject, names: list[str]) -> set[str]:
    """Return the names of some models, and of all models inside them."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _REFERENCE.findall(repr(models[name]))
    return found


def _refine_texts(model: JsonObject) -> None:
    """Say of every free text in a request that it has no control characters, which `api.http.texts` refuses."""
    for name, field in model.get("properties", {}).items():
        choices = [printable_text(choice) for choice in field.get("anyOf", ())]
        model["properties"][name] = printable_text(field) | ({"anyOf": choices} if choices else {})


def _refine_params(properties: JsonObject) -> None:
    for name in ("content_layers", "style_layers"):
        properties[name]["propertyNames"] = {"enum": list(LAYERS)}
    properties["size"]["not"] = {"exclusiveMinimum": 0, "exclusiveMaximum": MIN_SIDE_PX}


def _drop_defaults(properties: JsonObject) -> None:
    for described in properties.values():
        described.pop("default", None)


def _refine_request(request: JsonObject) -> None:
    # the model itself accepts any object, as parameters are validated once the preset is known
    request["properties"]["params"] = {"$ref": REF.format(model="StyleParams")}
    pairs = [("style", "styles"), ("init_image", "init_job")]
    without_style = {"not": {"anyOf": [_with("style"), _with("styles")]}}
    request["not"] = {"anyOf": [without_style, *({"allOf": [_with(one), _with(other)]} for one, other in pairs)]}


def _beside_files(request: JsonObject) -> JsonObject:
    """Return the schema of a form's part `request`, beside which pictures are sent as files."""
    left_out = ("required", "not", "title", "examples")
    part = {name: value for name, value in request.items() if name not in left_out}
    by_file = {
        name: {"description": "Or a file of this name, which takes precedence."} for name in ("content", "init_image")
    }
    styles = {"styles": {"description": "Or files named `style` and `mask`, which take precedence."}}
    text = "The request without its files; it refers to files named `image` by their IDs."
    return {**part, "description": text, "properties": {**part["properties"], **by_file, **styles}, "examples": [{}]}


def _with(name: str) -> JsonObject:
    return {"required": [name], "properties": {name: _IS_GIVEN}}
