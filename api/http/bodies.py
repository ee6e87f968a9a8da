"""Request bodies: raw bytes, JSON, or multipart with files, each read within bounds.

Invariant: nothing of a body is kept here; a multipart job is checked whole before any part of it is.
"""

from __future__ import annotations

import hashlib
import json as strict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import IO, Any, NamedTuple

from flask import Request, json

from shared import ids
from shared.errors import BodyTooLarge, InvalidParams, InvalidRequest, UnsupportedImage, UnsupportedMediaType

MULTIPART = "multipart/form-data"

#: Longest JSON, in bytes: read, it takes many times that.
MAX_JSON_BYTES = 2**20

#: The files of a multipart job; those named `image` are pictures that the request names by their ids.
JOB_FILES = ("content", "style", "mask", "init_image", "image")
#: The part with everything else, and the parts of which a job has one.
_REQUEST = "request"
_SINGLE = ("content", "init_image", _REQUEST)


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
    refuse(_idle_parts(request))
    files = {name: [bytes(file.read()) for file in request.files.getlist(name)] for name in JOB_FILES}
    asked, named = _request_part(request), naming(files)
    refuse({name: "It comes as a file, and `request` names it too." for name in named.body if name in asked})
    return Asked(asked | named.body, named.files)


def naming(files: Mapping[str, Sequence[bytes]]) -> Asked:
    """Write the part of a job's request that files stand for, given by the names of `JOB_FILES`."""
    named = _named({name: [ids.image_id(data) for data in files.get(name, ())] for name in JOB_FILES})
    return Asked(named, {ids.image_id(data): data for several in files.values() for data in several})


def _idle_parts(request: Request) -> dict[str, str]:
    """Find the parts of a form that nothing would come of: by its name, what is wrong with each."""
    found = {}
    for name in dict.fromkeys([*request.files, *request.form]):
        if name not in (*JOB_FILES, _REQUEST):
            found[name] = f"A job has no such part; its parts are {', '.join((*JOB_FILES, _REQUEST))}."
        elif name != _REQUEST and name in request.form:
            found[name] = "It is text, and a file is wanted."
        elif name in _SINGLE and len(request.files.getlist(name)) + len(request.form.getlist(name)) > 1:
            found[name] = "A job has one such part."
    return found


def refuse(mistakes: dict[str, str]) -> None:
    """Raise `InvalidParams` for parts of a form, by name, with what is wrong with each, if there are any."""
    found = []
    for name, detail in mistakes.items():
        pointer = "/" + (name or "").replace("~", "~0").replace("/", "~1")  # a part that has no name is called None
        found.append({"pointer": pointer, "detail": f"{pointer}: {detail}"})
    if found:
        count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
        raise InvalidParams(f"The request has {count}: {found[0]['detail']}", errors=found)


def _named(found: dict[str, list[str]]) -> dict[str, Any]:
    """Write the part of a request that the files stand for, given their ids."""
    single = {name: found[name] for name in ("content", "init_image") if found[name]}
    if len(found["mask"]) > len(found["style"]):
        raise InvalidRequest("There are more files `mask` than `style`: each is for the style of its place.")
    pairs = zip_longest(found["style"], found["mask"])
    styles = [{"image": style, **({"mask": mask} if mask else {})} for style, mask in pairs]
    return {name: image_ids[0] for name, image_ids in single.items()} | ({"styles": styles} if styles else {})


class AskedBatch(NamedTuple):
    """A batch as it was asked for: the request, the styles that came with it, and an archive of contents."""

    body: dict[str, Any]
    styles: list[bytes]
    archive: IO[bytes] | None

    def fingerprint(self) -> list[Any]:
        """Tell what was asked for from anything else, an archive by its bytes."""
        if self.archive is None:
            return [self.body]
        digest = hashlib.sha256()
        while block := self.archive.read(2**18):
            digest.update(block)
        self.archive.seek(0)
        return [self.body, digest.hexdigest()]


def batch(request: Request) -> AskedBatch:
    """Read a batch from JSON, or from multipart with its files; nothing in it is checked yet."""
    if request.mimetype != MULTIPART:
        return AskedBatch(json_object(request), [], None)
    styles = [bytes(file.read()) for file in request.files.getlist("style")]
    named = [{"image": ids.image_id(data)} for data in styles]
    archive = request.files.get("archive")
    body = _request_part(request) | ({"styles": named} if named else {})
    return AskedBatch(body, styles, archive.stream if archive else None)


def json_object(request: Request) -> dict[str, Any]:
    """Read a JSON object; raise `UnsupportedMediaType` or `InvalidRequest`."""
    if not request.is_json:
        raise UnsupportedMediaType("Send application/json or multipart/form-data.")
    request.max_content_length = MAX_JSON_BYTES
    return _object(request.get_data(as_text=False))


def json_value(text: bytes) -> Any:
    """Read JSON that every database takes; raise `InvalidRequest`."""
    try:
        value = json.loads(text)
        again = strict.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # no JSON, numbers that are none, halves of characters
        raise InvalidRequest("The body is not JSON.") from None
    if b"\\u0000" in again.replace(rb"\\", b""):
        raise InvalidRequest("The body has a character NUL, which no database takes.")
    return value


def _request_part(request: Request) -> dict[str, Any]:
    """Read the optional part `request`, sent as a field or as a file."""
    if _REQUEST in request.files:
        return _object(request.files[_REQUEST].read(MAX_JSON_BYTES + 1))
    return _object(request.form[_REQUEST].encode()) if _REQUEST in request.form else {}


def _object(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_JSON_BYTES:
        raise BodyTooLarge(f"JSON may have {MAX_JSON_BYTES} bytes.", max_bytes=MAX_JSON_BYTES)
    value = json_value(text)
    if not isinstance(value, dict):
        raise InvalidRequest("The body is not a JSON object.")
    return value
