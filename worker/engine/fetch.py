"""Download one file of a known hash, in bounded time, or leave nothing.

The bounds are short on purpose: a machine without internet must find that out in seconds, since `auto` asks
before it falls back.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.request
from pathlib import Path
from typing import IO, Any, NamedTuple

from shared.errors import WeightsUnavailable
from worker.engine.weight_files import replacing

#: Longest wait for a connection or for the next bytes, in seconds.
_PATIENCE_S = 4.0
_PIECE_BYTES = 1 << 20


class Digest(NamedTuple):
    """The hash that a file must have: `algorithm` as `hashlib` names it, `value` in hexadecimal."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm.upper()} {self.value}"

    def fits(self, path: Path) -> bool:
        """Tell whether the bytes of `path` have this hash."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.started).hexdigest() == self.value

    def started(self) -> Any:
        """Start a hash of nothing."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def fetch(
    url: str,
    path: Path,
    digest: Digest,
    *,
    most_bytes: int,
    within_s: float,
    patience_s: float = _PATIENCE_S,
) -> Path:
    """Download `url` to `path`, which appears only once it is whole and has the hash `digest`.

    Raises `WeightsUnavailable` when the server cannot be reached, goes silent for `patience_s`, takes longer than
    `within_s` altogether, or sends other bytes or more than `most_bytes`.
    """
    give_up_at = time.monotonic() + within_s
    try:
        with urllib.request.urlopen(url, timeout=patience_s) as answer, replacing(path) as file:  # noqa: S310 - checked by the settings
            seen = digest.started()
            while piece := answer.read1(_PIECE_BYTES):
                _write(piece, file, url, most_bytes=most_bytes)
                seen.update(piece)
                if time.monotonic() > give_up_at:
                    raise WeightsUnavailable(f"{url} did not arrive within {within_s:.0f} s.", url=url)
            if seen.hexdigest() != digest.value:
                actual = digest._replace(value=seen.hexdigest())
                raise WeightsUnavailable(f"{url} sent a file with {actual}; {digest} was expected.", url=url)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise WeightsUnavailable(f"{url} cannot be fetched: {error}", url=url) from None
    return path


def _write(piece: bytes, file: IO[bytes], url: str, *, most_bytes: int) -> None:
    """Append `piece` unless the file would become too long to be the one expected."""
    if file.tell() + len(piece) > most_bytes:
        raise WeightsUnavailable(f"{url} sent more than {most_bytes} bytes; it is not the file expected.", url=url)
    file.write(piece)
