"""Download one file of a known hash, in bounded time, or leave nothing.

The bounds are short on purpose: a machine without internet must find that out in seconds, since `auto` asks
before it falls back.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from pathlib import Path
from typing import IO, Any

from shared.errors import WeightsUnavailable
from worker.engine.weight_files import replacing

#: Longest wait for a connection or for the next bytes, in seconds.
_PATIENCE_S = 4.0
_PIECE_BYTES = 1 << 20


def fetch(url: str, path: Path, md5: str, *, patience_s: float = _PATIENCE_S) -> Path:
    """Download `url` to `path`, which appears only once it is whole and its MD5 is `md5`.

    Raises `WeightsUnavailable` when the server cannot be reached, goes silent for `patience_s` or sends other bytes.
    """
    try:
        with urllib.request.urlopen(url, timeout=patience_s) as answer, replacing(path) as file:  # noqa: S310 - https
            actual = _copy(answer, file)
            if actual != md5:
                raise WeightsUnavailable(f"{url} sent a file with MD5 {actual}; {md5} was expected.", url=url)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsUnavailable(f"{url} cannot be fetched: {error}", url=url) from None
    return path


def _copy(source: Any, target: IO[bytes]) -> str:
    """Copy all bytes and return their MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    while piece := source.read(_PIECE_BYTES):
        digest.update(piece)
        target.write(piece)
    return digest.hexdigest()
