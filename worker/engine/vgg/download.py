"""Download one file of a known hash in bounded time, or leave nothing.

The read timeout is short so that a machine without internet notices within seconds: `auto` tries to download before
it falls back.
"""

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
_READ_TIMEOUT_S = 4.0
_PIECE_BYTES = 1 << 20
#: Characters of a server's error message that are repeated.
_MAX_MESSAGE_LENGTH = 300


class Digest(NamedTuple):
    """The hash that a file must have: `algorithm` as in `hashlib`, `value` in hexadecimal."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm.upper()} {self.value}"

    def matches(self, path: Path) -> bool:
        """Return whether the file at `path` has this hash."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, self.new).hexdigest() == self.value

    def new(self) -> Any:
        """Return an empty hash object of this algorithm."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def fetch(
    url: str,
    path: Path,
    digest: Digest,
    *,
    max_bytes: int,
    timeout_s: float,
    read_timeout_s: float = _READ_TIMEOUT_S,
) -> Path:
    """Download `url` to `path`, which appears only once the file is complete and its hash is `digest`.

    Raises `WeightsUnavailable` when the server cannot be reached, is silent for `read_timeout_s`, takes longer than
    `timeout_s` in all, or sends a different file or more than `max_bytes`.
    """
    download = _Download(url, path, digest, max_bytes, read_timeout_s)
    download.start()
    # the read timeout alone would not end a response whose headers never stop
    download.join(timeout_s)
    if download.is_alive():
        download.canceled = True
        raise WeightsUnavailable(f"{url} did not arrive within {timeout_s:.0f} s.", url=url)
    if download.failure:
        raise WeightsUnavailable(f"{url} cannot be fetched: {printable(download.failure)}.", url=url)
    return path


class _Download(threading.Thread):
    """One download. `failure` is the reason why it failed; setting `canceled` stops it and leaves nothing."""

    def __init__(self, url: str, path: Path, digest: Digest, max_bytes: int, read_timeout_s: float) -> None:
        super().__init__(name="download", daemon=True)
        self._url, self._path, self._digest = url, path, digest
        self._max_bytes, self._read_timeout_s = max_bytes, read_timeout_s
        self.failure = ""
        self.canceled = False

    def run(self) -> None:
        """Download, and never raise."""
        try:
            with (
                urllib.request.urlopen(self._url, timeout=self._read_timeout_s) as response,  # noqa: S310 - the settings check the mirror's address
                replacing(self._path) as file,
            ):
                self._copy(response, file)
        except urllib.error.HTTPError as error:
            self.failure = str(error)
        except urllib.error.URLError as error:  # only wraps the reason
            self.failure = str(error.reason)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.failure = str(error) or type(error).__name__

    def _copy(self, response: Any, file: IO[bytes]) -> None:
        """Copy the response; raise `ValueError` unless it is the file expected."""
        hashed, length = self._digest.new(), response.headers.get("Content-Length")
        while piece := response.read1(_PIECE_BYTES):
            hashed.update(piece)
            file.write(piece)
            if file.tell() > self._max_bytes:
                raise ValueError(f"it is longer than {self._max_bytes} bytes, so it is not the file expected")
            if self.canceled:
                raise ValueError("it took too long")
        if length and length.isdigit() and file.tell() < int(length):
            raise ValueError(f"it broke off after {file.tell()} of {length} bytes")
        if hashed.hexdigest() != self._digest.value:
            actual = self._digest._replace(value=hashed.hexdigest())
            raise ValueError(f"the file has {actual}; {self._digest} was expected")


def printable(message: str) -> str:
    """Remove control characters, which could move a terminal's cursor, and shorten a long message."""
    text = "".join(character for character in message if character.isprintable())
    return (text if len(text) <= _MAX_MESSAGE_LENGTH else f"{text[:_MAX_MESSAGE_LENGTH]}…").rstrip(".")
