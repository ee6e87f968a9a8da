"""One line for each request, when its answer has been sent: what was asked, what came of it, and how long it took.

Limits: no query, no header and no body, which may hold what is secret. Files that the server sends by itself are
told when they begin.

Invariant: a stream's line is written at its end, however that comes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Flask, Response, g, request

from shared import logs

log = logs.get(__name__)

#: What is asked every few seconds for ever.
_QUIET = frozenset({"system.alive"})


class _Counted:
    """An answer's chunks, and how many bytes of them were taken."""

    def __init__(self, response: Response) -> None:
        self._chunks, self._answer = response.iter_encoded(), response.response
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.bytes += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close what was asked for the chunks, which may be waiting."""
        if hasattr(self._answer, "close"):
            self._answer.close()


def register(app: Flask) -> None:
    """Have every request of `app` told; register this before whatever may answer or change an answer."""
    app.before_request(_begin)
    app.after_request(_observe)


def _begin() -> None:
    g.began_at = time.perf_counter()


def _observe(response: Response) -> Response:
    tell = partial(
        _tell,
        logging.DEBUG if request.endpoint in _QUIET else logging.INFO,
        g.get("began_at") or time.perf_counter(),
        method=request.method,
        path=request.path,
        status=response.status_code,
    )
    if response.is_streamed and not response.direct_passthrough:
        counted = _Counted(response)
        response.response = counted
        response.call_on_close(lambda: tell(bytes=counted.bytes))
    else:
        tell(bytes=0 if request.method == "HEAD" else response.content_length or 0)
    return response


def _tell(level: int, began_at: float, **fields: Any) -> None:
    log.log(level, "request_answered", ms=round((time.perf_counter() - began_at) * 1000, 1), **fields)
