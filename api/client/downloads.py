"""What a job leaves behind, and downloads that survive lost connections.

An interrupted download continues at its last byte, unless the file on the server has changed meanwhile.

Invariant: a downloaded file is one version from its first byte to its last, or an error is raised.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from .files import format_of, writing_whole
from .models import ApiProblem, Document
from .retries import RetryBudget, is_transient, requested_delay_s
from .transport import Connection, path_of

#: Requests the file with these headers, or raises.
OpenFile = Callable[[dict[str, str]], AbstractContextManager[httpx.Response]]


def download(open_file: OpenFile, out: BinaryIO, budget: RetryBudget) -> None:
    """Write a file to `out`, continuing after lost connections; each piece that arrives resets the budget.

    Raises `httpx.TransportError` or `ApiProblem`.
    """
    etag: str | None = None
    while True:
        try:
            with open_file(_headers(out.tell(), etag)) as answer:
                if answer.status_code != httpx.codes.PARTIAL_CONTENT:  # the whole file: the first time, or it changed
                    out.seek(0)
                    out.truncate()
                etag = _strong(answer.headers.get("ETag"))
                for piece in answer.iter_raw():
                    out.write(piece)
                    budget.reset()
                return
        except (httpx.TransportError, ApiProblem) as failure:
            if not is_transient(failure) or not budget.wait(requested_delay_s(failure)):
                raise


def _headers(written: int, etag: str | None) -> dict[str, str]:
    """Ask for the missing bytes of that version, uncompressed: half of a compressed file cannot be continued."""
    plain = {"Accept-Encoding": "identity"}
    return {**plain, "Range": f"bytes={written}-", "If-Range": etag} if written and etag else plain


def _strong(etag: str | None) -> str | None:
    """Return a tag that promises identical bytes; a weak one does not."""
    return None if etag is None or etag.startswith("W/") else etag


class OutputCalls(Connection):
    """Pictures, animations, losses and manifests."""

    def result(
        self,
        job_id: str,
        format: str = "png",  # noqa: A002 - the parameter's name in the API
        *,
        strength: float | None = None,
    ) -> bytes:
        """Return the encoded picture as `png`, `jpeg`, `webp` or `tiff`.

        `strength` says how strongly the painting shows, from 0, the photograph, to 1, as painted; None is the strength
        that was saved, else 1. If the photograph is gone, only 1 works: else the code is `result_expired`.
        """
        return self._request("GET", _part(job_id, "result"), params=_look(strength) | {"format": format}).content

    def download(
        self,
        job_id: str,
        path: Path,
        format: str | None = None,  # noqa: A002 - as in the API
        *,
        strength: float | None = None,
    ) -> None:
        """Write the picture to `path`, whole or not at all; its suffix decides the format unless one is given.

        `strength` is that of `result`.
        """
        self._save(_part(job_id, "result"), path, _look(strength) | {"format": format or format_of(path)})

    def timelapse(self, job_id: str) -> bytes:
        """Return the timelapse, a WebP; only a job with the parameter `timelapse` has one."""
        return self._request("GET", _part(job_id, "timelapse")).content

    def download_timelapse(self, job_id: str, path: Path) -> None:
        """Write the timelapse, a WebP, to `path`, whole or not at all."""
        self._save(_part(job_id, "timelapse"), path)

    def download_image(self, image_id: str, path: Path) -> None:
        """Write an uploaded picture to `path`, byte for byte, whole or not at all."""
        self._save(path_of("/v1/images", image_id, "content"), path)

    def preview(self, job_id: str, *, strength: float | None = None) -> bytes:
        """Return the newest frame of a job, a JPEG; raise a problem `not_found` while there is none.

        `strength` is that of `result`, for a job that has ended.
        """
        return self._request("GET", _part(job_id, "preview"), params=_look(strength)).content

    def losses(self, job_id: str) -> dict[str, Any]:
        """Return the losses of all steps as columns."""
        return self._get(Document, "GET", _part(job_id, "losses")).root

    def manifest(self, job_id: str) -> dict[str, Any]:
        """Return the provenance of a result: parameters, hashes, versions, timings."""
        return self._get(Document, "GET", _part(job_id, "manifest")).root

    def _save(self, url: str, path: Path, query: dict[str, str] | None = None) -> None:
        try:
            with writing_whole(path) as out:
                download(
                    lambda headers: self._stream(url, headers=headers, params=query, timeout=self._http.timeout),
                    out,
                    self._retry_budget(),
                )
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


def _look(strength: float | None) -> dict[str, str]:
    return {} if strength is None else {"strength": str(strength)}


def _part(job_id: str, part: str) -> str:
    return path_of("/v1/jobs", job_id, part)
