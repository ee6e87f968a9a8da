"""The Python client: submit a picture, follow it, fetch what came out.

    with Client("http://127.0.0.1:8765") as client:
        job = client.submit(Path("photo.jpg"), [Path("painting.jpg")], params={"size": 384})
        client.wait(job.id)
        client.download(job.id, Path("painted.png"))

A refusal raises `ApiProblem` with the server's code; no answer raises `Unreachable`. A server that asks for
patience (429 or 503 with `Retry-After`) is asked again a few times first. Not safe to share between threads.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack
from urllib.parse import quote

import httpx
from pydantic import BaseModel, RootModel

from api.client_events import Follower
from api.client_keys import KeyCalls
from api.client_models import (
    ApiProblem,
    Backlog,
    ClientError,
    DryRun,
    Event,
    Image,
    Job,
    Readiness,
    Unreachable,
    Worker,
)
from api.client_request import Source, Style, Wishes, job_request
from api.outputs import format_of, write_whole
from shared.states import Wish

__all__ = [
    "ApiProblem",
    "Backlog",
    "Client",
    "ClientError",
    "DryRun",
    "Event",
    "Image",
    "Job",
    "Readiness",
    "Unreachable",
    "Wish",
    "Worker",
]

#: Jobs asked for at a time.
_PAGE = 100
#: A stream that is silent for this long is dead: the server sends a heartbeat every 15 s.
_STREAM_SILENCE_S = 45.0


class _Page(BaseModel):
    jobs: list[Job]


class _Workers(BaseModel):
    workers: list[Worker]


class _Document(RootModel[dict[str, Any]]):
    """Any JSON object."""


class Client(KeyCalls):
    """One server, reached over HTTP."""

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        stream_attempts: int = 6,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare to talk to `base_url`; nothing is connected yet.

        `stream_attempts` bounds how often in a row an event stream is opened in vain.
        """
        super().__init__(base_url, key, timeout_s=timeout_s, sleep=sleep)
        self._stream_attempts = stream_attempts

    # -- images

    def upload(self, image: Path | bytes) -> Image:
        """Upload an encoded picture; the same bytes always get the same id."""
        data = image.read_bytes() if isinstance(image, Path) else image
        headers = {"Content-Type": "application/octet-stream"}  # the server looks at the bytes, not at the name
        return self._get(Image, "POST", "/v1/images", content=data, headers=headers)

    def image(self, image_id: str) -> Image:
        """Describe an uploaded picture; a problem `not_found` if the server has none of that id."""
        return self._get(Image, "GET", f"/v1/images/{quote(image_id, safe='')}")

    # -- jobs

    def submit(self, content: Source, styles: Sequence[Style], **wishes: Unpack[Wishes]) -> Job:
        """Upload what is not an id yet and ask for a picture; a style may come with its share in the blend."""
        request = job_request(content, styles, wishes, self._image_id)
        return self._get(Job, "POST", "/v1/jobs", json=request)

    def dry_run(self, content: Source, styles: Sequence[Style], **wishes: Unpack[Wishes]) -> DryRun:
        """Upload what is not an id yet and ask what `submit` would do and what that would take; nothing is queued."""
        request = job_request(content, styles, wishes, self._image_id)
        return self._get(DryRun, "POST", "/v1/jobs", json=request, params={"dry_run": "true"})

    def job(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return self._get(Job, "GET", _job_path(job_id))

    def jobs(self, *, states: Sequence[str] = (), label: str | None = None, limit: int | None = None) -> Iterator[Job]:
        """Yield jobs, newest first, page by page as they are asked for; at most `limit` of them."""
        query = {"state": list(states), "label": label, "limit": min(limit or _PAGE, _PAGE)}
        pages = self._pages("/v1/jobs", {name: value for name, value in query.items() if value})
        yield from itertools.islice(itertools.chain.from_iterable(pages), limit)

    def _pages(self, url: str, query: dict[str, Any] | None) -> Iterator[list[Job]]:
        while url:
            answer = self._request("GET", url, params=query)
            yield self._read(_Page, answer).jobs
            url, query = answer.links.get("next", {}).get("url", ""), None

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job at once, a running one at its next step."""
        return self._get(Job, "POST", _job_path(job_id, "cancel"))

    def events(self, job_id: str) -> Iterator[Event]:
        """Yield everything that happened and happens to a job until it ends, through lost connections."""

        def open_stream(after: str | None) -> contextlib.AbstractContextManager[httpx.Response]:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            timeout = httpx.Timeout(self._http.timeout.connect, read=_STREAM_SILENCE_S)
            return self._stream(_job_path(job_id, "events"), headers=headers, timeout=timeout)

        return iter(Follower(open_stream, attempts=self._stream_attempts, sleep=self._sleep))

    def wait(self, job_id: str, on_event: Callable[[Event], None] = lambda _event: None) -> Job:
        """Return the job once it has ended; `on_event` hears what happens meanwhile."""
        for event in self.events(job_id):
            on_event(event)
        while not (job := self.job(job_id)).ended:  # the last event may overtake the database by a moment
            self._sleep(0.2)
        return job

    # -- what came out

    def result(self, job_id: str, format: str = "png") -> bytes:  # noqa: A002 - the parameter's name in the API
        """Return the encoded picture as `png`, `jpeg` or `webp`."""
        return self._request("GET", _job_path(job_id, "result"), params={"format": format}).content

    def download(self, job_id: str, path: Path, format: str | None = None) -> None:  # noqa: A002 - as in the API
        """Write the picture to `path`, in the format of its suffix unless one is given; whole or not at all."""
        chosen = format or format_of(path)
        write_whole(path, self.result(job_id, chosen))

    def timelapse(self, job_id: str) -> bytes:
        """Return the animation of the painting, a WebP; only a job with the parameter `timelapse` has one."""
        return self._request("GET", _job_path(job_id, "timelapse")).content

    def preview(self, job_id: str) -> bytes:
        """Return the newest frame of a running job, an encoded picture."""
        return self._request("GET", _job_path(job_id, "preview")).content

    def losses(self, job_id: str) -> dict[str, Any]:
        """Return the losses of all steps as columns."""
        return self._get(_Document, "GET", _job_path(job_id, "losses")).root

    def manifest(self, job_id: str) -> dict[str, Any]:
        """Return the provenance of a result: params, hashes, versions, timings."""
        return self._get(_Document, "GET", _job_path(job_id, "manifest")).root

    # -- for operators

    def workers(self) -> list[Worker]:
        """Return all workers, by name."""
        return self._get(_Workers, "GET", "/v1/workers").workers

    def instruct_worker(self, name: str, wish: Wish) -> Worker:
        """Have a worker work, pause after its job, or drain: hand its job back at once and take no other."""
        verb = "resume" if wish == Wish.WORK else Wish(wish).value
        return self._get(Worker, "POST", f"/v1/workers/{quote(name, safe='')}/{verb}")

    def queue(self) -> Backlog:
        """Return what waits and runs."""
        return self._get(Backlog, "GET", "/v1/queue")

    def pause_queue(self) -> Backlog:
        """Have no more jobs handed out; those that run go on."""
        return self._get(Backlog, "POST", "/v1/queue/pause")

    def resume_queue(self) -> Backlog:
        """Have jobs handed out again."""
        return self._get(Backlog, "POST", "/v1/queue/resume")

    # -- the server

    def readiness(self) -> Readiness:
        """Ask how the server is; raise `Unreachable` if it does not answer at all."""
        try:
            answer = self._http.get("/readyz")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return self._read(Readiness, answer)  # 503 has the same body

    def _image_id(self, source: Source) -> str:
        if isinstance(source, str):
            return source
        try:
            return self.upload(source).id
        except ApiProblem as problem:
            name = f"{source}: " if isinstance(source, Path) else ""  # say which of the pictures it was
            raise ApiProblem(problem.status, problem.code, name + problem.detail, problem.errors) from problem


def _job_path(job_id: str, part: str = "") -> str:
    """Return the path of a job or of a part of it, whatever was given as its id."""
    return "/".join(filter(None, ("/v1/jobs", quote(job_id, safe=""), part)))
