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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, RootModel

from api.client_events import Follower
from api.client_models import ApiProblem, ClientError, Event, Image, Job, Readiness, Unreachable
from api.outputs import format_of, write_whole

__all__ = ["ApiProblem", "Client", "ClientError", "Event", "Image", "Job", "Readiness", "Unreachable"]

#: An image: the id of an uploaded one, a file, or encoded bytes.
Source = str | Path | bytes

#: How often a request that is answered 429 or 503 is made, and the longest single wait in between, in seconds.
_TRIES = 4
_LONGEST_RETRY_AFTER_S = 30.0
#: Jobs asked for at a time.
_PAGE = 100
#: A stream that is silent for this long is dead: the server sends a heartbeat every 15 s.
_STREAM_SILENCE_S = 45.0
Resource = TypeVar("Resource", bound=BaseModel)

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class _Page(BaseModel):
    jobs: list[Job]


class _Document(RootModel[dict[str, Any]]):
    """Any JSON object."""


class Client:
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
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ClientError(f"{base_url} is not an address: {error}.") from error
        if url.scheme not in ("http", "https"):
            raise ClientError(f"{base_url} is not an address: write http://HOST:PORT.")
        self.base_url = base_url.rstrip("/")
        self._sleep, self._stream_attempts = sleep, stream_attempts
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_s,
            trust_env=url.host not in _LOOPBACK,  # a proxy cannot reach this machine's own loopback
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- images

    def upload(self, image: Path | bytes) -> Image:
        """Upload an encoded picture; the same bytes always get the same id."""
        data = image.read_bytes() if isinstance(image, Path) else image
        headers = {"Content-Type": "application/octet-stream"}  # the server looks at the bytes, not at the name
        return self._get(Image, "POST", "/v1/images", content=data, headers=headers)

    # -- jobs

    def submit(
        self,
        content: Source,
        styles: Sequence[Source | tuple[Source, float]],
        *,
        preset: str | None = None,
        params: Mapping[str, Any] | None = None,
        weights: str | None = None,
        label: str | None = None,
        priority: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Job:
        """Upload what is not an id yet and ask for a picture; a style may come with its share in the blend."""
        shares = [style if isinstance(style, tuple) else (style, 1.0) for style in styles]
        wishes = {
            "preset": preset,
            "params": dict(params or {}),
            "weights": weights,
            "label": label,
            "priority": priority,
            "metadata": dict(metadata or {}),
        }
        request = {
            "content": self._image_id(content),
            "styles": [{"image": self._image_id(style), "weight": share} for style, share in shares],
            **{name: value for name, value in wishes.items() if value is not None and value != {}},
        }
        return self._get(Job, "POST", "/v1/jobs", json=request)

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

    def preview(self, job_id: str) -> bytes:
        """Return the newest frame of a running job, an encoded picture."""
        return self._request("GET", _job_path(job_id, "preview")).content

    def losses(self, job_id: str) -> dict[str, Any]:
        """Return the losses of all steps as columns."""
        return self._get(_Document, "GET", _job_path(job_id, "losses")).root

    def manifest(self, job_id: str) -> dict[str, Any]:
        """Return the provenance of a result: params, hashes, versions, timings."""
        return self._get(_Document, "GET", _job_path(job_id, "manifest")).root

    # -- the server

    def readiness(self) -> Readiness:
        """Ask how the server is; raise `Unreachable` if it does not answer at all."""
        try:
            answer = self._http.get("/readyz")
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return self._read(Readiness, answer)  # 503 has the same body

    # -- HTTP

    def _image_id(self, source: Source) -> str:
        if isinstance(source, str):
            return source
        try:
            return self.upload(source).id
        except ApiProblem as problem:
            name = f"{source}: " if isinstance(source, Path) else ""  # say which of the pictures it was
            raise ApiProblem(problem.status, problem.code, name + problem.detail, problem.errors) from problem

    def _get(self, kind: type[Resource], method: str, url: str, **request: Any) -> Resource:
        return self._read(kind, self._request(method, url, **request))

    def _read(self, kind: type[Resource], answer: httpx.Response) -> Resource:
        """Read an answer's body; one that is no such resource comes from some other program."""
        try:
            return kind.model_validate_json(answer.content)
        except ValueError as error:
            raise ClientError(f"What answers at {self.base_url} is not an Atelier server.") from error

    def _request(self, method: str, url: str, **request: Any) -> httpx.Response:
        """Make a request, again a few times if the server asks for patience; return its good answer."""
        try:
            answer = self._http.request(method, url, **request)
            for _ in range(_TRIES - 1):
                delay_s = _patience_s(answer)
                if delay_s is None:
                    break
                self._sleep(delay_s)
                answer = self._http.request(method, url, **request)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        return _checked(answer)

    @contextlib.contextmanager
    def _stream(self, url: str, **request: Any) -> Iterator[httpx.Response]:
        """Open an answer that is read as it comes; lost connections are raised as they are."""
        with self._http.stream("GET", url, **request) as answer:
            delay_s = _patience_s(answer)
            if delay_s is not None:
                self._sleep(delay_s)
                raise self._unreachable(f"it answered {answer.status_code}")
            if answer.is_error:
                answer.read()
            yield _checked(answer)

    def _unreachable(self, reason: object) -> Unreachable:
        return Unreachable(f"No answer from {self.base_url}: {str(reason).rstrip('.')}.")


def _job_path(job_id: str, part: str = "") -> str:
    """Return the path of a job or of a part of it, whatever was given as its id."""
    return "/".join(filter(None, ("/v1/jobs", quote(job_id, safe=""), part)))


def _checked(answer: httpx.Response) -> httpx.Response:
    """Return a good answer; raise `ApiProblem` for any other."""
    if not answer.is_error:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    detail = problem.get("detail") or problem.get("title") or f"The server answered {answer.status_code}."
    code = problem.get("code") or f"http_{answer.status_code}"
    raise ApiProblem(answer.status_code, code, detail, problem.get("errors"))


def _patience_s(answer: httpx.Response) -> float | None:
    """Return how long the server asks to wait before the request is made again, or None if it does not."""
    if answer.status_code not in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
        return None
    try:
        asked_s = float(answer.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return min(max(asked_s, 0.0), _LONGEST_RETRY_AFTER_S)
