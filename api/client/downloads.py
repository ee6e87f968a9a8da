"""Downloads through lost connections: what is there already is not fetched again, unless the file is another by now.

Invariant: what is written is one version of the file from its first byte to its last, or an error is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from api.client.files import format_of, writing_whole
from api.client.models import ApiProblem, Document
from api.client.transport import Connection, Patience, passes, path_of

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


class Outputs(Connection):
    """What jobs of one server leave."""

    def result(self, job_id: str, format: str = "png") -> bytes:  # noqa: A002 - the parameter's name in the API
        """Return the encoded picture as `png`, `jpeg` or `webp`."""
        return self._request("GET", _part(job_id, "result"), params={"format": format}).content

    def download(self, job_id: str, path: Path, format: str | None = None) -> None:  # noqa: A002 - as in the API
        """Write the picture to `path`, in the format of its suffix unless one is given; whole or not at all."""
        self._save(_part(job_id, "result"), path, {"format": format or format_of(path)})

    def timelapse(self, job_id: str) -> bytes:
        """Return the animation of the painting, a WebP; only a job with the parameter `timelapse` has one."""
        return self._request("GET", _part(job_id, "timelapse")).content

    def download_timelapse(self, job_id: str, path: Path) -> None:
        """Write the animation of the painting, a WebP, to `path`; whole or not at all."""
        self._save(_part(job_id, "timelapse"), path)

    def fetch_image(self, image_id: str, path: Path) -> None:
        """Write an uploaded picture to `path` as it was uploaded; whole or not at all."""
        self._save(path_of("/v1/images", image_id, "content"), path)

    def preview(self, job_id: str) -> bytes:
        """Return the newest frame of a job, a JPEG; a problem `not_found` while there is none."""
        return self._request("GET", _part(job_id, "preview")).content

    def losses(self, job_id: str) -> dict[str, Any]:
        """Return the losses of all steps as columns."""
        return self._get(Document, "GET", _part(job_id, "losses")).root

    def manifest(self, job_id: str) -> dict[str, Any]:
        """Return the provenance of a result: params, hashes, versions, timings."""
        return self._get(Document, "GET", _part(job_id, "manifest")).root

    def _save(self, url: str, path: Path, query: dict[str, str] | None = None) -> None:
        try:
            with writing_whole(path) as out:
                download(
                    lambda headers: self._stream(url, headers=headers, params=query, timeout=self._http.timeout),
                    out,
                    self._patience(),
                )
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


def _part(job_id: str, part: str) -> str:
    return path_of("/v1/jobs", job_id, part)
