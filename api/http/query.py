"""Query parameters: each declared once, in a pydantic model that validates it and that OpenAPI is generated from.

A route declares its model in `operation(query=…)` and reads it with `parsed_query`. Every field needs a description.
A wrong value is `invalid_params`, with the parameter's name as its pointer. Unknown parameters are ignored.
"""

import re
from functools import cache
from typing import Annotated, Any, TypeVar

from flask import request
from pydantic import BaseModel, BeforeValidator, ValidationError

from shared.errors import InvalidParams

Query = TypeVar("Query", bound=BaseModel)

#: Longest wait that a request may ask for, in seconds.
MAX_WAIT_S = 60.0
_PREFERRED_WAIT = re.compile(r"\bwait\s*=\s*\"?(\d{1,6})\b", re.IGNORECASE)
#: What JSON Schema calls the bounds that an error names.
_BOUNDS = {"minimum": "ge", "maximum": "le"}


def _digits(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("write digits")
    return text


def _true_or_false(text: str) -> str:
    if text not in ("true", "false"):
        raise ValueError("write true or false")
    return text


#: A whole number, in digits alone.
Count = Annotated[int, BeforeValidator(_digits)]
#: `true` or `false`, and none of the other words that pydantic takes.
Flag = Annotated[bool, BeforeValidator(_true_or_false)]


def parsed_query(kind: type[Query]) -> Query:
    """Parse this request's query; raise `InvalidParams`. If one is sent twice, the first counts, save for lists."""
    schemas = parameter_schemas(kind)
    given = {
        name: request.args.getlist(name) if schemas[name]["schema"].get("type") == "array" else request.args[name]
        for name in schemas
        if name in request.args
    }
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise _invalid(name, schemas[name]["schema"]) from None


@cache
def parameter_schemas(kind: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return each parameter of a query as OpenAPI describes it: its `description` and its `schema`."""
    model = kind.model_json_schema()
    return {name: _described(field, model.get("$defs", {})) for name, field in model["properties"].items()}


def _invalid(name: str, schema: dict[str, Any]) -> InvalidParams:
    """Make the error of a value that does not fit its schema."""
    expected = _expected(schema.get("items", schema))
    bounds = {ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}
    return InvalidParams(f"{name} must be {expected}.", errors=[{"pointer": name, "detail": expected, **bounds}])


def preferred_wait_s() -> float:
    """Return the wait of `Prefer: wait=`, in seconds, capped as preferences may be; 0 without it."""
    found = _PREFERRED_WAIT.search(request.headers.get("Prefer", ""))
    return min(float(found[1]), MAX_WAIT_S) if found else 0.0


def _described(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe a model's field as a parameter: null stands for an absent one, and enums are written out."""
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    schema = field | (choices[0] if choices else {})
    for part in (schema, schema.get("items", {})):
        if "$ref" in part:
            enum = definitions[part.pop("$ref").rpartition("/")[2]]
            part.update(type=enum["type"], enum=enum["enum"])
    aside = ("title", "description", "anyOf")
    schema = {name: value for name, value in schema.items() if name not in aside and value is not None}
    return {"description": field["description"], "schema": schema}


def _expected(schema: dict[str, Any]) -> str:
    """Say in words what a value must be; texts that can be wrong are times, so far."""
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    words = {"boolean": "true or false", "integer": "a whole number", "number": "a number"}
    interval = f" from {schema['minimum']} to {schema['maximum']:g}" if "maximum" in schema else ""
    return words.get(schema["type"], "an RFC 3339 time with its zone, such as 2030-01-31T12:00:00Z") + interval
