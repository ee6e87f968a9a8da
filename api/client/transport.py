"""Requests to one server: made again while that is safe and may help, and refusals raised as what they are.

A request may be made again if making it twice is the same as making it once: GET, PUT, DELETE, and a POST that
brings an `Idempotency-Key`, which is the same at each try. Another POST is made again only if the server refused it
and said when to come back.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from api.client.models import ApiProblem, ClientError, Unreachable

#: Answers of a server, or of a proxy before it, that may be others in a moment.
_PASSING = {429, 502, 503, 504}
_SAFE_TO_REPEAT = {"GET", "PUT", "DELETE"}
_KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[!-~]*")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
Resource = TypeVar("Resource", bound=BaseModel)


class Connection:
    """One server, reached over HTTP."""

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        first_patience_s: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to talk to `base_url`; nothing is connected yet.

        A request is made again for up to `patience_s`; for `first_patience_s` while the server was never reached,
        which may mean that the address is wrong.
        """
        url = _address(base_url)
        if key is not None and not _KEY.fullmatch(key):
            raise ClientError("The API key has characters that no key of ours has.")
        self.base_url = base_url.rstrip("/")
        self._patience_s, self._sleep, self._clock = patience_s, sleep, clock
        self._within_s = float("inf") if first_patience_s is None else first_patience_s
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

    def _make(self, kind: type[Resource], url: str, key: str | None = None, **request: Any) -> Resource:
        """POST what makes something, once however often it is asked: under `key`, or under one made for it."""
        headers = {**request.pop("headers", {}), _KEY_HEADER: key or str(uuid.uuid4())}
        return self._get(kind, "POST", url, headers=headers, **request)

    def _read(self, kind: type[Resource], answer: httpx.Response) -> Resource:
        """Read an answer's body; one that is no such resource comes from some other program."""
        try:
            return kind.model_validate_json(answer.content)
        except ValueError as error:
            raise ClientError(f"What answers at {self.base_url} is not an Atelier server.") from error

    def _request(self, method: str, url: str, **request: Any) -> httpx.Response:
        """Make a request, again while that is safe and there is patience left; return its good answer."""
        repeatable = method in _SAFE_TO_REPEAT or _KEY_HEADER in request.get("headers", {})
        patience = self._patience()
        while True:
            within_s = float("inf")
            try:
                answer = self._http.request(method, url, **request)
                self._within_s = float("inf")
                failure: Exception | None = _refusal(answer)
                if failure is None:
                    return answer
            except httpx.TransportError as error:
                failure, within_s = self._unreachable(error), self._within_s
            if not _may_pass(failure, repeatable=repeatable) or not patience.pause(
                getattr(failure, "retry_after", None) or 0.0, within_s=within_s
            ):
                if isinstance(failure, ApiProblem):
                    failure.repeated = patience.pauses > 0
                raise failure

    @contextlib.contextmanager
    def _stream(self, url: str, **request: Any) -> Iterator[httpx.Response]:
        """Open an answer that is read as it comes; lost connections are raised as they are."""
        with self._http.stream("GET", url, **request) as answer:
            if answer.is_error:
                answer.read()
            refusal = _refusal(answer)
            if refusal is not None:
                raise refusal
            self._within_s = float("inf")
            yield answer

    def _patience(self) -> Patience:
        return Patience(self._patience_s, sleep=self._sleep, clock=self._clock)

    def _unreachable(self, reason: object) -> Unreachable:
        return Unreachable(f"No answer from {self.base_url}: {str(reason).rstrip('.') or type(reason).__name__}.")


def passes(problem: ApiProblem) -> bool:
    """Say whether a refusal may be none in a moment."""
    return problem.status in _PASSING


def path_of(collection: str, name: str, part: str = "") -> str:
    """Return the path of one of a collection, or of a part of it, whatever was given as its name."""
    return "/".join(filter(None, (collection, quote(name, safe=""), part)))


def _address(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ClientError(f"{base_url} is not an address: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientError(f"{base_url} is not an address: write http://HOST:PORT.")
    return url


def _may_pass(failure: Exception, *, repeatable: bool) -> bool:
    if isinstance(failure, ApiProblem):
        return passes(failure) and (repeatable or failure.retry_after is not None)
    return repeatable


def _refusal(answer: httpx.Response) -> ApiProblem | None:
    """Return the problem that an answer is; None if it is a good one."""
    if not answer.is_error:
        return None
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    return ApiProblem(
        answer.status_code,
        problem.get("code") or f"http_{answer.status_code}",
        problem.get("detail") or problem.get("title") or f"The server answered {answer.status_code}.",
        problem.get("errors"),
        retry_after=_retry_after_s(answer),
        request_id=answer.headers.get("X-Request-ID"),
    )


def _retry_after_s(answer: httpx.Response) -> float | None:
    """Return how long the server asks to wait before the request is made again, or None if it does not."""
    try:
        return max(float(answer.headers["Retry-After"]), 0.0)
    except (KeyError, ValueError):
        return None


#: First pause, doubled after each, and the longest, unless the server asks for more; in seconds.
_FIRST_S, _LONGEST_S = 0.25, 15.0


class Patience:
    """What is left of the time for one request, or for one download."""

    def __init__(
        self,
        total_s: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have `total_s` from now; what is slept counts by its length, and the rest by the clock."""
        self._total_s, self._sleep, self._clock = total_s, sleep, clock
        self.renew()

    def renew(self) -> None:
        """Have the whole time again, since there was progress."""
        self._began_at, self._slept_s, self.pauses = self._clock(), 0.0, 0

    def pause(self, asked_s: float = 0.0, *, within_s: float = float("inf")) -> bool:
        """Sleep until the next try; False, at once, if that is later than the total, or than `within_s`, allows."""
        pause_s = max(asked_s, min(_LONGEST_S, _FIRST_S * 2**self.pauses) * random.uniform(0.5, 1.0))  # noqa: S311
        spent_s = max(self._slept_s, self._clock() - self._began_at)
        if spent_s + pause_s > min(self._total_s, within_s):
            return False
        self.pauses += 1
        self._slept_s += pause_s
        self._sleep(pause_s)
        return True
