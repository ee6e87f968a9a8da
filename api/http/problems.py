"""Errors as RFC 9457 problem documents; the only module that knows the HTTP status of an error.

Flask's own errors (unknown path, wrong method, body too long) become the same documents. An unexpected exception is
logged with its traceback and becomes `internal`, which reveals nothing of the inside.
"""

import math
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Flask, Response, json
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from api.http.texts import mistakes_in_body, pointer
from api.schemas.links import mounted
from shared import errors, logs
from shared.errors import AtelierError, InvalidParams
from shared.painting.params import StyleParams
from shared.texts import printable_lines

log = logs.get(__name__)

Model = TypeVar("Model", bound=BaseModel)

MEDIA_TYPE = "application/problem+json"

#: The errors that requests may meet, by status; any other is 500, so a new one needs a place here.
# fmt: off
_KINDS: dict[HTTPStatus, tuple[type[AtelierError], ...]] = {
    HTTPStatus.BAD_REQUEST: (errors.InvalidRequest, errors.ClientGone),
    HTTPStatus.UNAUTHORIZED: (errors.Unauthorized,),
    HTTPStatus.FORBIDDEN: (errors.Forbidden,),
    HTTPStatus.NOT_FOUND: (errors.NotFound,),
    HTTPStatus.METHOD_NOT_ALLOWED: (errors.MethodNotAllowed,),
    HTTPStatus.REQUEST_TIMEOUT: (errors.RequestTimeout,),
    HTTPStatus.CONFLICT: (
        errors.NotFinished, errors.NoResult, errors.IllegalTransition, errors.IdTaken, errors.AlreadyMade,
    ),
    HTTPStatus.GONE: (errors.ResultExpired,),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (errors.ArchiveTooLarge, errors.ImageTooLarge, errors.BodyTooLarge),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (errors.UnsupportedImage, errors.UnsupportedMediaType),
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: (errors.RangeNotSatisfiable,),
    HTTPStatus.UNPROCESSABLE_ENTITY: (
        errors.InvalidParams, errors.InvalidMask, errors.TooLarge, errors.UnknownImage, errors.ForbiddenUrl,
        errors.IdempotencyConflict, errors.BatchFull, errors.DuplicateKey, errors.UnsafePath, errors.CorruptArchive,
        errors.ForbiddenSource, errors.CorruptImage, errors.BlankImage, errors.NothingAdded,
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (errors.HeadTooLarge,),
    HTTPStatus.TOO_MANY_REQUESTS: (
        errors.RateLimited, errors.QuotaExceeded, errors.TooManyStreams, errors.TooManyArchives,
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        errors.StorageUnavailable, errors.DatabaseUnavailable, errors.DecoderUnavailable,
    ),
    HTTPStatus.INSUFFICIENT_STORAGE: (errors.StorageFull,),
}
# fmt: on
STATUS = {kind: status for status, kinds in _KINDS.items() for kind in kinds}
#: `Retry-After` of a retryable error that does not name its own, in seconds.
_RETRY_AFTER_S = 5

#: Flask's own errors, by status.
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


def retry_after(error: AtelierError) -> str:
    """Return when the same request may succeed, in seconds, as the header of a retryable error says it."""
    return str(math.ceil(error.fields.get("retry_after_s", _RETRY_AFTER_S)))


def document(error: AtelierError) -> dict[str, Any]:
    """Return the problem document of an error."""
    return {
        "type": mounted(f"/docs#{error.code}"),
        "title": error.message,
        "status": status_of(type(error)).value,
        "detail": printable_lines(error.detail),
        "code": error.code,
        **error.fields,
    }


def problem(error: AtelierError) -> Response:
    """Respond with an error's problem document."""
    status = status_of(type(error))
    response = Response(json.dumps(document(error)), status=status, content_type=MEDIA_TYPE)
    if error.retryable:
        response.headers["Retry-After"] = retry_after(error)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def invalid(error: ValidationError, *, at: str = "") -> AtelierError:
    """Turn a failed validation into `invalid_params` with a JSON pointer and the bounds of each mistake.

    `at` is the pointer to what was validated, "" for the whole body. Anything else is taken for the painting
    parameters, whose mistakes also name the unit.
    """
    return from_mistakes([_mistake(found, at) for found in error.errors(include_url=False, include_context=True)])


def pointed_error(pointer: str, detail: str, kind: type[AtelierError] = InvalidParams, **bounds: Any) -> AtelierError:
    """Make the error of one mistake, at a JSON pointer into the request."""
    return from_mistakes([{"pointer": pointer, "detail": f"{pointer}: {detail}", **bounds}], kind)


def from_mistakes(mistakes: list[dict[str, Any]], kind: type[AtelierError] = InvalidParams) -> AtelierError:
    """Make the error of one or more mistakes."""
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return kind(f"The request has {count}: {mistakes[0]['detail']}", errors=mistakes)


def validated(kind: type[Model], body: object, *, later: str = "") -> Model:
    """Validate a body against its model; raise `InvalidParams`. The texts of the field `later` are not checked yet."""
    checked = {name: value for name, value in body.items() if name != later} if isinstance(body, dict) else body
    mistakes = mistakes_in_body(checked)
    if mistakes:
        raise from_mistakes(mistakes)
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None


def _mistake(found: Any, at: str) -> dict[str, Any]:
    bounds = {name: value for name, value in found.get("ctx", {}).items() if name in ("ge", "gt", "le", "lt")}
    field = StyleParams.model_fields.get(str(found["loc"][0])) if at and found["loc"] else None
    extra = field.json_schema_extra if field is not None else None
    unit = {"unit": extra["x-unit"]} if isinstance(extra, dict) and "x-unit" in extra else {}
    place = at + pointer(found["loc"])
    reason = found["msg"].removeprefix("Value error, ")
    return {"pointer": place, "detail": f"{place or 'The body'}: {reason}.", **bounds, **unit}


def register(app: Flask) -> None:
    """Turn every error of `app` into a problem document."""

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
        response.headers.extend(
            (name, value) for name, value in error.get_headers() if name in ("Allow", "Content-Range")
        )
        return response

    @app.errorhandler(Exception)
    def _unforeseen(error: Exception) -> Response:
        log.error("request_failed", code=AtelierError.code, exc_info=error)
        return problem(AtelierError())
