"""OpenAPI 3.1, generated from what each view declares above itself and from the models that validate.

Invariant: every route of `/v1` and every probe is described; a test walks the route table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api import problems, schemas, schemas_operators
from api.access import Access
from shared import errors
from shared.errors import AtelierError
from shared.params import PRESETS, StyleParams

View = TypeVar("View", bound=Callable[..., Any])
_REF = "#/components/schemas/{model}"


@dataclass(frozen=True)
class Operation:
    """The contract of one view. `returns` and `takes` map a media type to a model, or to a plain schema."""

    summary: str
    access: Access
    status: int
    returns: dict[str, Any]
    takes: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    errors: tuple[type[AtelierError], ...] = ()
    #: Good answers of another status, with what each says and its model.
    others: dict[int, tuple[str, Any]] = field(default_factory=dict)


BINARY = {"type": "string", "format": "binary"}


def operation(
    summary: str,
    *,
    access: Access,
    returns: Any,
    status: int = 200,
    takes: dict[str, Any] | None = None,
    query: dict[str, str] | None = None,
    errors: tuple[type[AtelierError], ...] = (),
    others: dict[int, tuple[str, Any]] | None = None,
) -> Callable[[View], View]:
    """Declare the contract of a view; a model in `returns` stands for JSON of that model."""
    returned = returns if isinstance(returns, dict) else {"application/json": returns}

    def declare(view: View) -> View:
        view.access = access  # type: ignore[attr-defined]
        view.operation = Operation(summary, access, status, returned, takes or {}, query or {}, errors, others or {})  # type: ignore[attr-defined]
        return view

    return declare


def document(app: Flask) -> dict[str, Any]:
    """Describe every declared view of `app`."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in app.url_map.iter_rules():
        declared = getattr(app.view_functions[rule.endpoint], "operation", None)
        if declared is None:
            continue
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _describe(declared, rule.endpoint, sorted(rule.arguments))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Atelier",
            "version": "1",
            "summary": "Neural style transfer as a service.",
            "description": "Upload a photograph and a painting, submit a job, follow it, fetch the picture.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": _models(), "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def presets() -> dict[str, str]:
    """Return what each preset is for."""
    return {name: text for name, (text, _values) in PRESETS.items()}


def _describe(declared: Operation, endpoint: str, arguments: list[str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "security": [] if declared.access is Access.PUBLIC else [{"key": []}],
        "operationId": endpoint.replace(".", "_"),
        "summary": declared.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in arguments),
            *(
                {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
                for name, text in declared.query.items()
            ),
        ],
        "responses": {str(declared.status): {"description": declared.summary, "content": _content(declared.returns)}},
    }
    if declared.takes:
        described["requestBody"] = {"required": True, "content": _content(declared.takes)}
    for status, (text, model) in declared.others.items():
        described["responses"][str(status)] = {"description": text, "content": _content({"application/json": model})}
    by_status: dict[int, list[str]] = {}
    for kind in (*declared.errors, *_errors_of(declared.access)):
        by_status.setdefault(problems.status_of(kind).value, []).append(f"`{kind.code}`: {kind().message}")
    for status, texts in by_status.items():
        content = _content({problems.MEDIA_TYPE: schemas.ProblemView})
        described["responses"][str(status)] = {"description": " ".join(texts), "content": content}
    return described


def _errors_of(access: Access) -> tuple[type[AtelierError], ...]:
    """Return what every view of that access may answer."""
    if access is Access.PUBLIC:
        return ()
    return (errors.Unauthorized, errors.Forbidden, errors.RateLimited, errors.DatabaseUnavailable)


def _content(by_media_type: dict[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": _schema(shape)} for media_type, shape in by_media_type.items()}


def _schema(shape: Any) -> dict[str, Any]:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return {"$ref": _REF.format(model=shape.__name__)}
    return dict(shape)


def _models() -> dict[str, Any]:
    declared = {**vars(schemas), **vars(schemas_operators)}
    outgoing = [model for name, model in declared.items() if name.endswith(("View", "Page", "Columns"))]
    wanted: Any = [(model, "serialization") for model in outgoing]
    wanted += [(model, "validation") for model in (schemas.JobRequest, StyleParams)]
    _, definitions = models_json_schema(wanted, ref_template=_REF)
    models: dict[str, Any] = definitions["$defs"]
    # any object to the request's own model, since they are checked only once the preset is known
    models["JobRequest"]["properties"]["params"] = {"$ref": _REF.format(model="StyleParams")}
    return dict(sorted(models.items()))
