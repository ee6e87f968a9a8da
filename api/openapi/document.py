"""The OpenAPI 3.1 document, generated from the contracts that views declare and the models that validate.

`api.openapi.parameters` describes parameters, headers and errors, and `api.openapi.schemas` the models.

Invariant: every route below `/v1` and every probe is described; a test walks the route table.
"""

import re
from collections.abc import Iterable
from typing import Any

from flask import Flask

from api.access import Access
from api.openapi import schemas, texts, webhooks
from api.openapi.operation import operation
from api.openapi.parameters import (
    BINARY,
    JsonObject,
    link_all,
    parameters,
    problem_responses,
    query_parameters,
    response_headers,
)
from shared import errors
from shared.errors import AtelierError
from shared.imaging.formats.recognition import MEDIA_TYPES


def build(app: Flask, server: str) -> JsonObject:
    """Build the document for all views of `app` that declare a contract; clients reach the app at `server`."""
    paths: dict[str, JsonObject] = {}
    operations: list[operation] = []
    for rule in app.url_map.iter_rules():
        declared = getattr(app.view_functions[rule.endpoint], "operation", None)
        if declared is None:
            continue
        operations.append(declared)
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _describe(declared, rule.endpoint, sorted(rule.arguments))
    link_all(paths)
    used = {tag for methods in paths.values() for described in methods.values() for tag in described["tags"]}
    return {
        "openapi": "3.1.0",
        "info": texts.INFO,
        "servers": [{"url": server}],
        "tags": [tag for tag in texts.TAGS if tag["name"] in used],
        "paths": dict(sorted(paths.items())),
        "webhooks": webhooks.describe(),
        "components": {
            "schemas": _model_schemas(operations),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": texts.KEYS},
                "token": {"type": "apiKey", "in": "query", "name": "token", "description": texts.TOKENS},
            },
        },
        "x-error-codes": {
            error.code: {"message": error().message, "retryable": error.retryable} for error in errors.subclasses()
        },
    }


def _describe(declared: operation, endpoint: str, arguments: list[str]) -> JsonObject:
    """Describe one operation: its view's contract, its endpoint such as `jobs.submit`, the parameters in its path."""
    described: JsonObject = {
        "tags": [endpoint.partition(".")[0]],
        "security": _security(declared),
        "operationId": endpoint.replace(".", "_"),
        "summary": declared.summary,
        "description": texts.access(declared.access),
        "parameters": parameters(arguments, declared.query, _request_headers(declared)),
        "responses": dict(sorted({**problem_responses(_errors(declared, arguments)), **_responses(declared)}.items())),
    }
    if declared.takes:
        described["requestBody"] = {"required": not declared.body_optional, "content": _content(declared.takes)}
    return described


def _request_headers(declared: operation) -> tuple[str, ...]:
    """Return the request headers to describe.

    Every request may have an `X-Request-ID`. It is described only where a body has several forms and nothing else is
    optional: there openapi-python-client 0.29 generates code that needs some optional parameter to compile.
    """
    is_needed = len(declared.takes) > 1 and not (declared.query or declared.headers)
    return ("X-Request-ID",) if is_needed else declared.headers


def _security(declared: operation) -> list[JsonObject]:
    """Return the ways to prove who one is, any of which is enough."""
    if declared.access is Access.PUBLIC:
        return []
    return [{"key": []}, {"token": []}] if declared.takes_token else [{"key": []}]


def _responses(declared: operation) -> dict[str, JsonObject]:
    """Describe the successful responses."""
    good = {declared.status: (f"{declared.summary}.", declared.content)}
    good |= {
        status: (text, {"application/json": model} if model else {})
        for status, (text, model) in declared.others.items()
    }
    if "If-None-Match" in declared.headers:
        good[304] = ("Not modified since that `ETag`.", {})
    if "Range" in declared.headers:
        good[206] = ("The requested range.", declared.content)
    responses = {}
    for status, (text, content) in good.items():
        headers = response_headers(status, declared.headers, is_page="cursor" in query_parameters(declared.query))
        responses[str(status)] = {"description": text, "headers": headers}
        if content:
            responses[str(status)]["content"] = _content(content)
    return responses


def _errors(declared: operation, arguments: list[str]) -> Iterable[type[AtelierError]]:
    """Yield the errors that a view declares, and those that its form and access imply."""
    yield from declared.errors
    if arguments:
        yield errors.NotFound
    if declared.query:
        yield errors.InvalidParams
    if declared.takes:
        yield from (errors.InvalidRequest, errors.RequestTimeout, errors.UnsupportedMediaType, errors.BodyTooLarge)
    if "Idempotency-Key" in declared.headers:
        yield from (errors.InvalidRequest, errors.IdempotencyConflict)
    if "Range" in declared.headers:
        yield errors.RangeNotSatisfiable
    if declared.access is not Access.PUBLIC:
        yield from (errors.Unauthorized, errors.Forbidden, errors.RateLimited, errors.DatabaseUnavailable)


def _content(by_media_type: dict[str, Any]) -> JsonObject:
    """Describe a body by its media types; the parts of a form also have one each."""
    content: JsonObject = {}
    for media_type, shape in by_media_type.items():
        schema = schemas.schema(shape)
        content[media_type] = {"schema": schema}
        if media_type.startswith("multipart/"):
            content[media_type]["encoding"] = {name: _encoding(part) for name, part in schema["properties"].items()}
    return content


def _encoding(part: JsonObject) -> JsonObject:
    """Give the media types of a form's part: pictures, or JSON."""
    is_picture = BINARY in (part, part.get("items"))
    return {"contentType": ", ".join(MEDIA_TYPES.values()) if is_picture else "application/json"}


def _model_schemas(operations: list[operation]) -> JsonObject:
    """Return the schemas of all models, by name: those that responses and webhooks contain, and those of requests."""
    outgoing = [webhooks.SENT, *(shape for each in operations for shape in each.content.values())]
    outgoing += [model for each in operations for _, model in each.others.values() if model]
    return schemas.schemas_of(outgoing, [shape for each in operations for shape in each.takes.values()])
