"""Compressed request bodies: gzip is decoded while a view reads it, and any other encoding is refused.

Whatever bounds a body, such as `Request.max_content_length`, bounds the decoded bytes, since views see nothing else.
As their number is not known before they are read, `WholeRequest` sees to it that no body is cut at its bound.

Invariant: a read makes no more bytes than it was asked for, and a body that is much longer than what it decodes to is
refused, so that neither memory nor time grows beyond the bound.
"""

import io
import zlib
from typing import IO, Any, cast

from flask import Flask, Request, Response, request
from werkzeug.utils import cached_property
from werkzeug.wsgi import get_input_stream

from shared.errors import InvalidRequest, UnsupportedMediaType

_GZIP = ("gzip", "x-gzip")
#: The window of zlib's largest streams, in gzip's wrapping.
_WBITS = 16 + zlib.MAX_WBITS
#: Compressed bytes read at a time, and most decoded bytes made at a time.
_BLOCK = 2**16
#: How much longer than its content a body may be, as a factor and in bytes: gzip itself adds less than a hundredth.
_MOST_TIMES, _MOST_MORE = 2, 2**16


class Gunzipped(io.RawIOBase):
    """The content of a gzip stream, of one member or of several; reading raises `InvalidRequest` if it is damaged."""

    def __init__(self, source: IO[bytes]) -> None:
        """Decode `source`, which ends where the body ends."""
        self._source = source
        self._decoder = zlib.decompressobj(_WBITS)
        self._pending = b""
        self._taken = self._made = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some of the content; 0 at its end."""
        data = self._next(min(len(buffer), _BLOCK))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        while size:
            if not self._pending:
                self._pending = self._source.read(_BLOCK)
                self._taken += len(self._pending)
            if not self._pending:
                if self._taken and not self._decoder.eof:
                    raise InvalidRequest("The gzip body is cut short.")
                break
            if self._decoder.eof:  # another member follows
                self._decoder = zlib.decompressobj(_WBITS)
            data = self._decode(size)
            if data:
                return data
        return b""

    def _decode(self, size: int) -> bytes:
        try:
            data = self._decoder.decompress(self._pending, size)
        except zlib.error:
            raise InvalidRequest("The body is not gzip, although its Content-Encoding says so.") from None
        self._pending = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
        self._made += len(data)
        if self._taken - len(self._pending) > _MOST_TIMES * self._made + _MOST_MORE:
            raise InvalidRequest("The gzip body is far longer than its content.")
        return data


class WholeRequest(Request):
    """A request whose body is whole or refused, even if its length is not known; Werkzeug would cut it at the bound."""

    @cached_property
    def stream(self) -> IO[bytes]:
        """The body, of which a read beyond the bound is refused."""
        bounded = get_input_stream(self.environ, max_content_length=self.max_content_length)
        return bounded if self.content_length is not None else cast("IO[bytes]", _ReadToItsEnd(bounded))


class _ReadToItsEnd(io.RawIOBase):
    """A stream that is read until it says that it has ended, which is when Werkzeug tells a body that is too long."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def register(app: Flask) -> None:
    """Decode the bodies of all requests to `app`; register this before whatever reads them."""
    app.before_request(_decode)
    app.after_request(_name_encodings)


def _decode() -> None:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity") or request.method in ("GET", "HEAD", "OPTIONS"):
        return
    if encoding not in _GZIP:
        raise UnsupportedMediaType("Bodies may be encoded with gzip, once, or not at all.")
    environ = request.environ
    environ["wsgi.input"] = Gunzipped(get_input_stream(environ))
    environ["wsgi.input_terminated"] = True
    for name in ("CONTENT_LENGTH", "HTTP_CONTENT_ENCODING"):
        environ.pop(name, None)


def _name_encodings(response: Response) -> Response:
    """Tell a client whose encoding was refused which is not. Source: RFC 9110, section 12.5.3."""
    if response.status_code == 415 and "Content-Encoding" in request.headers:
        response.headers["Accept-Encoding"] = "gzip"
    return response
