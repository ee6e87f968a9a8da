"""Files as responses: whole, in part, or 304 where the client has them.

A client resumes a download with `Range`. Only one range of bytes of a GET is obeyed; any other, and one of a version
that has changed since (`If-Range`), gets the whole file, as RFC 9110 (section 14.2) allows.

Invariant: parts of one `ETag`, put together, are the file of that `ETag`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import NamedTuple

from flask import Response, request, send_file
from werkzeug.exceptions import RequestedRangeNotSatisfiable

_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)


class Part(NamedTuple):
    """Bytes from `start` to before `stop`."""

    start: int
    stop: int


def file_response(
    read: Callable[[], bytes], *, media_type: str, name: str, etag: str, as_attachment: bool = False
) -> Response:
    """Respond with a file, or the part of it that is asked for; it is not read if the client has it."""
    data = b"" if is_known(etag) else read()
    response = send_file(
        BytesIO(data),
        mimetype=media_type,
        download_name=name,
        etag=etag,
        as_attachment=as_attachment,
        conditional=False,
    )
    part = describe_file(response, etag, len(data))
    if part is not None:
        response.response = [data[part.start : part.stop]]
        response.direct_passthrough = False
    return response


def is_known(etag: str) -> bool:
    """Say whether the client has this version, so that the response is 304."""
    return request.if_none_match.contains_weak(etag)


def describe_file(response: Response, etag: str, length: int) -> Part | None:
    """Give a file's response its status and headers; return which part to send, if not all.

    Raises `RequestedRangeNotSatisfiable` for a range that begins beyond the file.
    """
    response.set_etag(etag)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Accept-Ranges"] = "bytes"
    if is_known(etag):
        response.status_code = 304
        return None
    part = _requested_part(etag, length)
    response.content_length = length if part is None else part.stop - part.start
    if part is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{length}"
    return part


def cut(chunks: Iterable[bytes], part: Part) -> Iterator[bytes]:
    """Yield only that part of what `chunks` are together."""
    position = 0
    for chunk in chunks:
        wanted = chunk[max(part.start - position, 0) : max(part.stop - position, 0)]
        position += len(chunk)
        if wanted:
            yield wanted
        if position >= part.stop:
            return


def _requested_part(etag: str, length: int) -> Part | None:
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    is_current = request.headers.get("If-Range") in (None, f'"{etag}"')  # a weak one never is
    if request.method != "GET" or not is_current or found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:  # the last bytes, as many as there are
        part = Part(max(length - int(last), 0), length)
    else:
        part = Part(int(first), min(int(last) + 1, length) if last else length)
        if last and int(last) < int(first):
            return None
    if part.start >= length:
        raise RequestedRangeNotSatisfiable(length)
    return part
