"""The client's calls about what can be fetched: a job's picture, timelapse, frames, losses, manifest; an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from api.client_download import download
from api.client_http import Connection, path_of
from api.client_models import Document
from api.outputs import format_of, writing_whole


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
