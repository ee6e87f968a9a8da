"""Errors as RFC 9457 problems; the one place that knows which HTTP number an error has.

The framework's own errors (unknown path, wrong method, body too long) leave in the same shape. What nobody
foresaw is logged with its traceback and leaves as `internal`, without a word about the inside.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Flask, Response, json
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from shared import errors, logs
from shared.errors import AtelierError, InvalidParams
from shared.painting.params import StyleParams

log = logs.get(__name__)

Form = TypeVar("Form", bound=BaseModel)

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[AtelierError], HTTPStatus] = {
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    errors.InvalidParams: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.InvalidMask: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooLarge: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnknownImage: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ForbiddenUrl: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.IdempotencyConflict: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BatchFull: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.DuplicateKey: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsafePath: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.CorruptArchive: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ForbiddenSource: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ArchiveTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.NotFinished: HTTPStatus.CONFLICT,
    errors.NoResult: HTTPStatus.CONFLICT,
    errors.IllegalTransition: HTTPStatus.CONFLICT,
    errors.IdTaken: HTTPStatus.CONFLICT,
    errors.AlreadyMade: HTTPStatus.CONFLICT,
    errors.ResultExpired: HTTPStatus.GONE,
    errors.UnsupportedImage: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.CorruptImage: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.RangeNotSatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyStreams: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
#: What a client is told to wait before it tries a retryable error again, in seconds.
_RETRY_AFTER_S = 5

#: The framework's errors by their number.
_FRAMEWORK: dict[int, type[AtelierError]] = {
    400: errors.InvalidRequest,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
    415: errors.UnsupportedMediaType,
    416: errors.RangeNotSatisfiable,
}


def status_of(kind: type[AtelierError]) -> HTTPStatus:
    """Return the HTTP status of a kind of error."""
    return STATUS.get(kind, HTTPStatus.INTERNAL_SERVER_ERROR)


def document(error: AtelierError) -> dict[str, Any]:
    """Return what the problem document of an error says."""
    return {
        "type": f"/docs#{error.code}",
        "title": error.message,
        "status": status_of(type(error)).value,
        "detail": error.detail,
        "code": error.code,
        **error.fields,
    }


def problem(error: AtelierError) -> Response:
    """Write an error as a problem document."""
    status = status_of(type(error))
    response = Response(json.dumps(document(error)), status=status, content_type=MEDIA_TYPE)
    if error.retryable:
        response.headers["Retry-After"] = str(math.ceil(error.fields.get("retry_after_s", _RETRY_AFTER_S)))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def invalid(error: ValidationError, *, at: str = "") -> errors.InvalidParams:
    """Turn a failed validation into `invalid_params` with a JSON pointer, the bounds and the unit of each mistake."""
    mistakes = [_mistake(found, at) for found in error.errors(include_url=False, include_context=True)]
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return errors.InvalidParams(f"The request has {count}: {mistakes[0]['detail']}", errors=mistakes)


def validated(kind: type[Form], body: object) -> Form:
    """Check a body by its model; raise `InvalidParams`."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None


def _mistake(found: Any, at: str) -> dict[str, Any]:
    path = [str(part).replace("~", "~0").replace("/", "~1") for part in found["loc"]]
    bounds = {name: value for name, value in found.get("ctx", {}).items() if name in ("ge", "gt", "le", "lt")}
    field = StyleParams.model_fields.get(str(found["loc"][0])) if at and found["loc"] else None
    extra = field.json_schema_extra if field is not None else None
    unit = {"unit": extra["unit"]} if isinstance(extra, dict) and "unit" in extra else {}
    pointer = at + "".join(f"/{part}" for part in path)
    return {"pointer": pointer, "detail": f"{pointer or 'The body'}: {found['msg']}.", **bounds, **unit}


def register(app: Flask) -> None:
    """Make every error of `app` leave as a problem."""

    @app.errorhandler(AtelierError)
    def _ours(error: AtelierError) -> Response:
        if status_of(type(error)) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request_failed", code=error.code, exc_info=None if error.retryable else error)
        return problem(error)

    @app.errorhandler(HTTPException)
    def _framework(error: HTTPException) -> Response:
        kind = _FRAMEWORK.get(error.code or 500)
        if kind is None:
            log.error("request_failed", status=error.code, exc_info=error)
            return problem(AtelierError())
        response = problem(kind())
        response.headers.extend((k, v) for k, v in error.get_headers() if k == "Allow")
        return response

    @app.errorhandler(Exception)
    def _unforeseen(error: Exception) -> Response:
        log.error("request_failed", code=AtelierError.code, exc_info=error)
        return problem(AtelierError())


def mistake(pointer: str, detail: str, kind: type[AtelierError] = InvalidParams, **bounds: Any) -> AtelierError:
    """Make the error that points at one place of the request."""
    detail = f"{pointer}: {detail}"
    found = {"pointer": pointer, "detail": detail, **bounds}
    return kind(f"The request has 1 mistake: {detail}", errors=[found])
