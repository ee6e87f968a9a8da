"""HTTP requests to one server: repeated where that is safe and may help, with refusals raised as `ApiProblem`.

A request is safe to repeat if doing it twice is the same as doing it once: GET, PUT, DELETE, and a POST with an
`Idempotency-Key`, which stays the same for every attempt. Any other POST is repeated only if the server refused it
and said when to come back.
"""

import contextlib
import itertools
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from .models import ApiProblem, ClientError, Document, Unreachable
from .retries import RetryBudget, is_transient, requested_delay_s

_SAFE_TO_REPEAT = {"GET", "PUT", "DELETE"}
_KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[!-~]*")
_LOOPBACK = re.compile(r"localhost|::1|127(\.\d+){3}")
#: User name and password in an address.
_SECRET = re.compile(r"(^|//)[^/?#]*@")
#: Most resources requested at a time.
_PAGE = 100
Model = TypeVar("Model", bound=BaseModel)


class Connection:
    """One server, reached over HTTP."""

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry_for_s: float = 60.0,
        first_retry_for_s: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to talk to `base_url`, without connecting yet.

        A request is repeated for up to `retry_for_s`, but only for `first_retry_for_s` until the server has answered
        for the first time, because the address may be wrong. Raises `ClientError` for an unusable address or key.
        """
        url = _parse_address(base_url)
        if key is not None and not _KEY.fullmatch(key):
            raise ClientError("The API key contains characters that no Atelier key has.")
        self.base_url = base_url.rstrip("/")
        self._shown = without_password(self.base_url)
        self._retry_for_s, self._sleep, self._clock = retry_for_s, sleep, clock
        self._within_s = float("inf") if first_retry_for_s is None else first_retry_for_s
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_s,
            trust_env=not _LOOPBACK.fullmatch(url.host),  # a proxy cannot reach this machine's own loopback
            verify=httpx.create_ssl_context(),  # which heeds `SSL_CERT_FILE` wherever the server is
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _get(self, kind: type[Model], method: str, url: str, **request: Any) -> Model:
        return self._read(kind, self._request(method, url, **request))

    def _create(self, kind: type[Model], url: str, key: str | None = None, **request: Any) -> Model:
        """POST under an idempotency key, the given or a fresh one, so that all attempts create one resource."""
        headers = {**request.pop("headers", {}), _KEY_HEADER: key or str(uuid.uuid4())}
        return self._get(kind, "POST", url, headers=headers, **request)

    def _list(
        self, kind: type[Model], url: str, field: str, query: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> Iterator[Model]:
        """Yield up to `limit` resources, requesting each page only when it is needed."""
        given = {name: value for name, value in (query or {}).items() if value}
        pages = self._pages(kind, url, field, {**given, "limit": min(limit or _PAGE, _PAGE)})
        return itertools.islice(itertools.chain.from_iterable(pages), limit)

    def _pages(self, kind: type[Model], url: str, field: str, query: Mapping[str, Any]) -> Iterator[list[Model]]:
        while True:
            answer = self._request("GET", url, params=query)
            yield self._read_list(kind, answer, field)
            following = answer.links.get("next", {}).get("url")
            if following is None:
                return
            query = httpx.URL(following).params  # not its path, which a proxy may have changed

    def _read(self, kind: type[Model], answer: httpx.Response) -> Model:
        """Parse the body; raise `ClientError` if it is not what this API would send."""
        try:
            return kind.model_validate_json(answer.content)
        except ValueError as error:
            raise self._foreign() from error

    def _read_list(self, kind: type[Model], answer: httpx.Response, field: str) -> list[Model]:
        page = self._read(Document, answer).root
        try:
            return [kind.model_validate(each) for each in page[field]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._foreign() from error

    def _request(self, method: str, url: str, **request: Any) -> httpx.Response:
        """Make a request, repeating it while that is safe and there is time left; return the successful answer."""
        repeatable = method in _SAFE_TO_REPEAT or _KEY_HEADER in request.get("headers", {})
        budget = self._retry_budget()
        while True:
            within_s = float("inf")
            try:
                answer = self._http.request(method, url, **request)
                self._within_s = float("inf")
                failure: Exception | None = _problem(answer)
                if failure is None:
                    return answer
            except httpx.TransportError as error:
                failure, within_s = self._unreachable(error), self._within_s
            except ValueError as error:  # a number or a text that JSON or HTTP cannot carry, or an impossible host
                raise ClientError(f"The request to {self._shown} cannot be sent: {error}.") from error
            if not _may_repeat(failure, repeatable=repeatable) or not budget.wait(
                requested_delay_s(failure), within_s=within_s
            ):
                if isinstance(failure, ApiProblem):
                    failure.repeated = budget.pauses > 0
                raise failure

    @contextlib.contextmanager
    def _stream(self, url: str, **request: Any) -> Iterator[httpx.Response]:
        """Open an answer to be read as it arrives; a lost connection raises `httpx.TransportError`."""
        with self._http.stream("GET", url, **request) as answer:
            if answer.is_error:
                answer.read()
            problem = _problem(answer)
            if problem is not None:
                raise problem
            self._within_s = float("inf")
            yield answer

    def _retry_budget(self) -> RetryBudget:
        return RetryBudget(self._retry_for_s, sleep=self._sleep, clock=self._clock)

    def _unreachable(self, reason: object) -> Unreachable:
        return Unreachable(f"No answer from {self._shown}: {str(reason).rstrip('.') or type(reason).__name__}.")

    def _foreign(self) -> ClientError:
        return ClientError(f"The program that answers at {self._shown} is not an Atelier server.")


def path_of(collection: str, name: str, part: str = "") -> str:
    """Return the path of a resource, or of a part of it, with `name` escaped."""
    return "/".join(filter(None, (collection, quote(name, safe=""), part)))


def without_password(address: str) -> str:
    """Return an address to be shown, without the user name and password that it may hold."""
    return _SECRET.sub(r"\1", address)


def timestamp(at: datetime | None) -> str | None:
    """Write a time, which must have a UTC offset, as the API reads it."""
    return at.isoformat(timespec="milliseconds") if at else None


def _parse_address(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ClientError(f"{without_password(base_url)} is not an address: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientError(f"{without_password(base_url)} is not an address: write http://HOST:PORT.")
    return url


def _may_repeat(failure: Exception, *, repeatable: bool) -> bool:
    asked_to = isinstance(failure, ApiProblem) and failure.retry_after is not None
    return is_transient(failure) and (repeatable or asked_to)


def _problem(answer: httpx.Response) -> ApiProblem | None:
    """Return the problem that an answer reports; None if it was successful."""
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
    try:
        return max(float(answer.headers["Retry-After"]), 0.0)
    except (KeyError, ValueError):
        return None
