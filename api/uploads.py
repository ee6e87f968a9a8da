"""Request bodies: raw bytes, JSON, or multipart with files, each read within bounds.

Invariant: nothing of a body is kept here; a multipart job is checked whole before any part of it is.
"""

from __future__ import annotations

from typing import Any

from flask import Request, json

from api import checks, usecases
from api.checks import Submission
from api.services import Services
from shared import ids
from shared.errors import InvalidRequest, UnsupportedImage, UnsupportedMediaType

MULTIPART = "multipart/form-data"


def image_bytes(request: Request) -> bytes:
    """Read the one image of a request: a raw body or the multipart file `file`."""
    if request.mimetype == MULTIPART:
        file = request.files.get("file")
        if file is None:
            raise InvalidRequest("The multipart body has no file called `file`.")
        return bytes(file.read())
    if not request.mimetype.startswith("image/") and request.mimetype != "application/octet-stream":
        raise UnsupportedMediaType("Send the image raw as image/*, or as the multipart file `file`.")
    data = request.get_data(cache=False)
    if not data:
        raise UnsupportedImage("The body is empty.")
    return data


def submission(request: Request, services: Services) -> Submission:
    """Read a job from JSON, or from multipart with its files."""
    if request.mimetype != MULTIPART:
        return Submission(*usecases.parse(services, _json_object(request)))
    body = _request_part(request)
    contents, styles = ([file.read() for file in request.files.getlist(name)] for name in ("content", "style"))
    if len(contents) > 1:
        raise InvalidRequest("A job has one file `content`.")
    if contents:
        body["content"] = ids.image_id(contents[0])
    if styles:
        body["styles"] = [{"image": ids.image_id(data)} for data in styles]
    parsed = usecases.parse(services, body)
    files = {ids.image_id(data): data for data in (*contents, *styles)}
    return Submission(*parsed, {image_id: checks.inspect(services, data) for image_id, data in files.items()})


def _json_object(request: Request) -> dict[str, Any]:
    if not request.is_json:
        raise UnsupportedMediaType("Send application/json or multipart/form-data.")
    return _object(request.get_data(as_text=False))


def _request_part(request: Request) -> dict[str, Any]:
    """Read the optional part `request`, sent as a field or as a file."""
    if "request" in request.files:
        return _object(request.files["request"].read())
    return _object(request.form["request"].encode()) if "request" in request.form else {}


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body is not a JSON object.")
    return value
