"""Downloads through lost connections: what is there already is not fetched again, unless the file is another by now.

Invariant: what is written is one version of the file from its first byte to its last, or an error is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

import httpx

from api.client_http import passes
from api.client_models import ApiProblem
from api.client_patience import Patience

#: Opens the file with these headers, or raises.
Open = Callable[[dict[str, str]], AbstractContextManager[httpx.Response]]


def download(open_file: Open, out: BinaryIO, patience: Patience) -> None:
    """Write a file to `out`, going on after lost connections until `patience` ends; each byte that comes renews it.

    Raises `httpx.TransportError` or the server's refusal.
    """
    etag: str | None = None
    while True:
        try:
            with open_file(_headers(out.tell(), etag)) as answer:
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:  # all of it, the first time or because it changed
                    out.seek(0)
                    out.truncate()
                etag = _strong(answer.headers.get("ETag"))
                for piece in answer.iter_raw():
                    out.write(piece)
                    patience.renew()
                return
        except (httpx.TransportError, ApiProblem) as failure:
            asked_s = failure.retry_after or 0.0 if isinstance(failure, ApiProblem) else 0.0
            hopeless = isinstance(failure, ApiProblem) and not passes(failure)
            if hopeless or not patience.pause(asked_s):
                raise


def _headers(written: int, etag: str | None) -> dict[str, str]:
    """Ask for what is missing of that version, as it is: half of a compressed file cannot be gone on from."""
    plain = {"Accept-Encoding": "identity"}
    return {**plain, "Range": f"bytes={written}-", "If-Range": etag} if written and etag else plain


def _strong(etag: str | None) -> str | None:
    """Return a tag that promises the same bytes; a weak one does not."""
    return None if etag is None or etag.startswith("W/") else etag
