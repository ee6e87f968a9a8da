"""Request bodies: raw bytes, JSON, or multipart with files, each read within bounds.

Invariant: nothing of a body is kept here; a multipart job is checked whole before any part of it is.
"""

from __future__ import annotations

import json as strict
from itertools import zip_longest
from typing import Any, NamedTuple

from flask import Request, json

from shared import ids
from shared.errors import BodyTooLarge, InvalidRequest, UnsupportedImage, UnsupportedMediaType

MULTIPART = "multipart/form-data"

#: Longest JSON, in bytes: read, it takes many times that.
MAX_JSON_BYTES = 2**20

#: The files of a multipart job; those named `image` are pictures that the request names by their ids.
JOB_FILES = ("content", "style", "mask", "init_image", "image")


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


class Asked(NamedTuple):
    """A job as it was asked for: the request, and the pictures that came with it, by their ids."""

    body: dict[str, Any]
    files: dict[str, bytes]


def job(request: Request) -> Asked:
    """Read a job from JSON, or from multipart with its files; nothing in it is checked yet."""
    if request.mimetype != MULTIPART:
        return Asked(json_object(request), {})
    files = {name: [bytes(file.read()) for file in request.files.getlist(name)] for name in JOB_FILES}
    body = _request_part(request) | _named({name: [ids.image_id(data) for data in files[name]] for name in files})
    return Asked(body, {ids.image_id(data): data for name in files for data in files[name]})


def _named(found: dict[str, list[str]]) -> dict[str, Any]:
    """Write the part of a request that the files stand for, given their ids."""
    single = {name: found[name] for name in ("content", "init_image") if found[name]}
    for name, image_ids in single.items():
        if len(image_ids) > 1:
            raise InvalidRequest(f"A job has one file `{name}`.")
    if len(found["mask"]) > len(found["style"]):
        raise InvalidRequest("There are more files `mask` than `style`: each is for the style of its place.")
    pairs = zip_longest(found["style"], found["mask"])
    styles = [{"image": style, **({"mask": mask} if mask else {})} for style, mask in pairs]
    return {name: image_ids[0] for name, image_ids in single.items()} | ({"styles": styles} if styles else {})


def json_object(request: Request) -> dict[str, Any]:
    """Read a JSON object; raise `UnsupportedMediaType` or `InvalidRequest`."""
    if not request.is_json:
        raise UnsupportedMediaType("Send application/json or multipart/form-data.")
    request.max_content_length = MAX_JSON_BYTES
    return _object(request.get_data(as_text=False))


def _request_part(request: Request) -> dict[str, Any]:
    """Read the optional part `request`, sent as a field or as a file."""
    if "request" in request.files:
        return _object(request.files["request"].read(MAX_JSON_BYTES + 1))
    return _object(request.form["request"].encode()) if "request" in request.form else {}


def _object(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_JSON_BYTES:
        raise BodyTooLarge(f"JSON may have {MAX_JSON_BYTES} bytes.", max_bytes=MAX_JSON_BYTES)
    try:
        value = json.loads(text)
        again = strict.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # no JSON, numbers that are none, halves of characters
        raise InvalidRequest("The body is not JSON.") from None
    if b"\\u0000" in again.replace(rb"\\", b""):
        raise InvalidRequest("The body has a character NUL, which no database takes.")
    if not isinstance(value, dict):
        raise InvalidRequest("The body is not a JSON object.")
    return value
