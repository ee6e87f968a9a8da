"""Download one file of a known hash, in bounded time, or leave nothing.

The bounds are short on purpose: a machine without internet must find that out in seconds, since `auto` asks
before it falls back.
"""

from __future__ import annotations

import hashlib
import http.client
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, NamedTuple

from shared.errors import WeightsUnavailable
from shared.storage.atomic_files import replacing

#: Longest wait for a connection or for the next bytes, in seconds.
_PATIENCE_S = 4.0
_PIECE_BYTES = 1 << 20
#: Letters of a stranger's error that are repeated.
_MOST_LETTERS = 300


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
    download = _Download(url, path, digest, most_bytes, patience_s)
    download.start()
    # a server may dribble a head without end, which no wait for the next bytes would notice
    download.join(within_s)
    if download.is_alive():
        download.given_up = True
        raise WeightsUnavailable(f"{url} did not arrive within {within_s:.0f} s.", url=url)
    if download.failure:
        raise WeightsUnavailable(f"{url} cannot be fetched: {printable(download.failure)}.", url=url)
    return path


class _Download(threading.Thread):
    """One download; `failure` says in words what went wrong, and `given_up` has it leave nothing."""

    def __init__(self, url: str, path: Path, digest: Digest, most_bytes: int, patience_s: float) -> None:
        super().__init__(name="download", daemon=True)
        self._url, self._path, self._digest = url, path, digest
        self._most_bytes, self._patience_s = most_bytes, patience_s
        self.failure = ""
        self.given_up = False

    def run(self) -> None:
        """Download, and never raise."""
        try:
            with urllib.request.urlopen(self._url, timeout=self._patience_s) as answer, replacing(self._path) as file:  # noqa: S310 - the address was checked
                self._copy(answer, file)
        except urllib.error.HTTPError as error:
            self.failure = str(error)
        except urllib.error.URLError as error:  # says no more than the error within
            self.failure = str(error.reason)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.failure = str(error) or type(error).__name__

    def _copy(self, answer: Any, file: IO[bytes]) -> None:
        """Copy all bytes; raise `ValueError` unless they are those expected."""
        seen, promised = self._digest.started(), answer.headers.get("Content-Length")
        while piece := answer.read1(_PIECE_BYTES):
            seen.update(piece)
            file.write(piece)
            if file.tell() > self._most_bytes:
                raise ValueError(f"it is longer than {self._most_bytes} bytes, and so not the file expected")
            if self.given_up:
                raise ValueError("it takes too long")
        if promised and promised.isdigit() and file.tell() < int(promised):
            raise ValueError(f"it broke off after {file.tell()} of {promised} bytes")
        if seen.hexdigest() != self._digest.value:
            actual = self._digest._replace(value=seen.hexdigest())
            raise ValueError(f"the file has {actual}; {self._digest} was expected")


def printable(said: str) -> str:
    """Keep what a stranger said from moving a terminal's cursor, and from being endless."""
    text = "".join(letter for letter in said if letter.isprintable())
    return (text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…").rstrip(".")
