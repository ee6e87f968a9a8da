"""Request bodies: raw bytes, JSON, or multipart with files, each read within bounds.

Nothing is stored here; what a body says is validated by `api.schemas`.
"""

import hashlib
import json as standard_json
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import IO, Any, NamedTuple

from flask import Request, json

from api.http import forms
from api.http.forms import FormBounds
from api.http.problems import from_mistakes
from api.http.texts import pointer
from shared import ids
from shared.errors import BodyTooLarge, InvalidRequest, UnsupportedImage, UnsupportedMediaType

MULTIPART = "multipart/form-data"

#: Longest JSON, in bytes: parsed, it takes many times that.
MAX_JSON_BYTES = 2**20

#: The file parts of a multipart job; those named `image` are pictures that `request` refers to by id.
JOB_FILES = ("content", "style", "mask", "init_image", "image")
#: The JSON part with everything else, and the parts that a job has at most once.
_REQUEST = "request"
_SINGLE = ("content", "init_image", _REQUEST)


def image_bytes(request: Request, max_bytes: int) -> bytes:
    """Read the image of an upload: a raw body, or the multipart file `file`.

    One that is too large is cut one byte beyond `max_bytes`, for whoever inspects it to refuse.
    """
    if request.mimetype == MULTIPART:
        forms.bound(request, file_bounds(max_bytes))
        file = request.files.get("file")
        if file is None:
            raise InvalidRequest("The multipart body has no file called `file`.")
        return bytes(file.read())
    if not request.mimetype.startswith("image/") and request.mimetype != "application/octet-stream":
        raise UnsupportedMediaType("Send the image raw as image/*, or as the multipart file `file`.")
    data = forms.read_within(request.stream, max_bytes + 1)
    if not data:
        raise UnsupportedImage("The body is empty.")
    return data


def file_bounds(max_bytes: int) -> FormBounds:
    """Return the bounds of a form whose files are refused one by one: each is cut one byte beyond `max_bytes`."""
    return FormBounds(max_bytes, 0, cuts=True)


class JobForm(NamedTuple):
    """A job as its client sent it: the request, and the pictures that came with it, by id."""

    body: dict[str, Any]
    files: dict[str, bytes]
    #: The file name of the content, if it came as a file.
    name: str | None = None


def job_form(request: Request, max_bytes: int) -> JobForm:
    """Read a job from JSON, or from multipart with files of at most `max_bytes`; it is not validated yet."""
    if request.mimetype != MULTIPART:
        return JobForm(json_object(request), {})
    forms.bound(request, _bounds(max_bytes))
    refuse(_unknown_parts(request))
    files = {name: [bytes(file.read()) for file in request.files.getlist(name)] for name in JOB_FILES}
    body, named = _request_part(request), form_of_files(files)
    refuse({name: "Send it as a file or name it in `request`, not both." for name in named.body if name in body})
    content = request.files.get("content")
    return JobForm(body | named.body, named.files, (content.filename if content else None) or None)


def form_of_files(files: Mapping[str, Sequence[bytes]]) -> JobForm:
    """Return the part of a job that its files, by the names of `JOB_FILES`, stand for."""
    named = _named({name: [ids.image_id(data) for data in files.get(name, ())] for name in JOB_FILES})
    return JobForm(named, {ids.image_id(data): data for several in files.values() for data in several})


def _unknown_parts(request: Request) -> dict[str, str]:
    """Return what is wrong with each part of a form that would have no effect, by name."""
    found = {}
    for name in dict.fromkeys([*request.files, *request.form]):
        if name not in (*JOB_FILES, _REQUEST):
            found[name] = f"Unknown part; the parts of a job are {', '.join((*JOB_FILES, _REQUEST))}."
        elif name != _REQUEST and name in request.form:
            found[name] = "Send this part as a file, not as text."
        elif name in _SINGLE and len(request.files.getlist(name)) + len(request.form.getlist(name)) > 1:
            found[name] = "A job has only one of these."
    return found


def refuse(mistakes: dict[str, str]) -> None:
    """Raise `InvalidParams` for mistakes in a form, if there are any: the detail of each, by the part's name."""
    found = []
    for name, detail in mistakes.items():
        place = pointer([name or ""])  # a part without a name is called None
        found.append({"pointer": place, "detail": f"{place}: {detail}"})
    if found:
        raise from_mistakes(found)


def _named(found: dict[str, list[str]]) -> dict[str, Any]:
    """Return the fields of a request that files of these ids stand for."""
    single = {name: found[name] for name in ("content", "init_image") if found[name]}
    if len(found["mask"]) > len(found["style"]):
        raise InvalidRequest("There are more `mask` files than `style` files: the n-th mask is for the n-th style.")
    pairs = zip_longest(found["style"], found["mask"])
    styles = [{"image": style, **({"mask": mask} if mask else {})} for style, mask in pairs]
    return {name: image_ids[0] for name, image_ids in single.items()} | ({"styles": styles} if styles else {})


class BatchForm(NamedTuple):
    """A batch as its client sent it: the request, the styles that came with it, and an archive of contents."""

    body: dict[str, Any]
    styles: list[bytes]
    archive: IO[bytes] | None

    def fingerprint(self, attend: Callable[[], None]) -> list[Any]:
        """Return what tells this batch from any other: the request, and a hash of the archive.

        `attend` is called before each block, and ends the work by raising.
        """
        if self.archive is None:
            return [self.body]
        digest = hashlib.sha256()
        while block := self.archive.read(2**18):
            attend()
            digest.update(block)
        self.archive.seek(0)
        return [self.body, digest.hexdigest()]


def batch_form(request: Request, max_bytes: int, max_archive_bytes: int) -> BatchForm:
    """Read a batch from JSON, or from multipart with styles of at most `max_bytes`; it is not validated yet."""
    if request.mimetype != MULTIPART:
        return BatchForm(json_object(request), [], None)
    forms.bound(request, _bounds(max_bytes, archive=max_archive_bytes))
    styles = [bytes(file.read()) for file in request.files.getlist("style")]
    named = [{"image": ids.image_id(data)} for data in styles]
    archive = request.files.get("archive")
    body = _request_part(request) | ({"styles": named} if named else {})
    return BatchForm(body, styles, archive.stream if archive else None)


def _bounds(max_bytes: int, **own_bytes: int) -> FormBounds:
    """Return the bounds of a form with pictures, four of the largest together."""
    return FormBounds(max_bytes, 4 * max_bytes, {_REQUEST: MAX_JSON_BYTES, **own_bytes})


def json_object(request: Request) -> dict[str, Any]:
    """Read a JSON object; raise `UnsupportedMediaType` or `InvalidRequest`."""
    if not request.is_json:
        raise UnsupportedMediaType("Send application/json or multipart/form-data.")
    request.max_content_length = MAX_JSON_BYTES
    return _object(request.get_data(as_text=False))


def optional_json_object(request: Request) -> dict[str, Any]:
    """Read a JSON object, empty if there is no body; raise as `json_object` does."""
    request.max_content_length = MAX_JSON_BYTES
    return json_object(request) if request.get_data() else {}


def json_value(text: bytes) -> Any:
    """Parse JSON that every database can store; raise `InvalidRequest`."""
    try:
        value = json.loads(text)
        standard_json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # no JSON, NaN or infinity, lone surrogates
        raise InvalidRequest("The body is not JSON.") from None
    return value


def _request_part(request: Request) -> dict[str, Any]:
    """Read the optional part `request`, sent as a field or a file."""
    if _REQUEST in request.files:
        return _object(request.files[_REQUEST].read(MAX_JSON_BYTES + 1))
    return _object(request.form[_REQUEST].encode()) if _REQUEST in request.form else {}


def _object(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_JSON_BYTES:
        raise BodyTooLarge(f"JSON may have at most {MAX_JSON_BYTES} bytes.", max_bytes=MAX_JSON_BYTES)
    value = json_value(text)
    if not isinstance(value, dict):
        raise InvalidRequest("The body is not a JSON object.")
    return value
