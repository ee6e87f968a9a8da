"""Requests to one server: asked again when it wants patience, and refusals raised as what they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from api.client_models import ApiProblem, ClientError, Unreachable

#: How often a request that is answered 429 or 503 is made, and the longest single wait in between, in seconds.
_TRIES = 4
_LONGEST_RETRY_AFTER_S = 30.0
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
Resource = TypeVar("Resource", bound=BaseModel)


class Connection:
    """One server, reached over HTTP."""

    def __init__(
        self, base_url: str, key: str | None = None, *, timeout_s: float, sleep: Callable[[float], None]
    ) -> None:
        """Prepare to talk to `base_url`; nothing is connected yet."""
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ClientError(f"{base_url} is not an address: {error}.") from error
        if url.scheme not in ("http", "https"):
            raise ClientError(f"{base_url} is not an address: write http://HOST:PORT.")
        self.base_url = base_url.rstrip("/")
        self._sleep = sleep
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
