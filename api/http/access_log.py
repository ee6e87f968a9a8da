"""One log line per request, once its response has been sent: client, method, path, status, bytes and duration.

Limits: queries, headers and bodies are left out, since they may hold secrets. Files that the server itself sends are
logged when they begin.

Invariant: a stream's line is written when it ends, however that happens.
"""

import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Flask, Response, g, request

from shared import logs

log = logs.get(__name__)

#: Views that are polled by machines, logged at debug level.
_QUIET = frozenset({"system.alive"})


class _Counted:
    """A response's chunks, and how many bytes of them have been sent."""

    def __init__(self, response: Response) -> None:
        self._chunks, self._wrapped = response.iter_encoded(), response.response
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the wrapped iterable, which may be waiting."""
        if hasattr(self._wrapped, "close"):
            self._wrapped.close()


def register(app: Flask) -> None:
    """Log every request of `app`; register this before whatever may respond or change a response."""
    app.before_request(_begin)
    app.after_request(_observe)


def _begin() -> None:
    g.began_at = time.perf_counter()


def _observe(response: Response) -> Response:
    write = partial(
        _write,
        logging.DEBUG if request.endpoint in _QUIET else logging.INFO,
        g.get("began_at") or time.perf_counter(),
        client=request.remote_addr,
        method=request.method,
        path=request.path,
        status=response.status_code,
    )
    if response.is_streamed and not response.direct_passthrough:
        counted = _Counted(response)
        response.response = counted
        response.call_on_close(lambda: write(bytes=counted.bytes))
    else:
        write(bytes=0 if request.method == "HEAD" else response.content_length or 0)
    return response


def _write(level: int, began_at: float, **fields: Any) -> None:
    log.log(level, "request_answered", ms=round((time.perf_counter() - began_at) * 1000, 1), **fields)
