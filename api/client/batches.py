"""Calls about batches: open, fill, control, read the results."""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import Field

from .downloads import OutputCalls
from .models import ApiProblem, Failure, Job, Resource
from .retries import RetryBudget, is_transient
from .transport import path_of

_BATCHES = "/v1/batches"
#: Items sent in one request.
_CHUNK = 1_000
#: A feed that is silent for this long is dead: the server sends a heartbeat every 15 s.
_FEED_SILENCE_S = 45.0
_LINES = {"Content-Type": "application/x-ndjson"}

BatchAction = Literal["start", "pause", "resume", "cancel"]
BatchPart = Literal["archive.zip", "sheet.webp"]


class Counts(Resource):
    """How many items are in each state."""

    total: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    expired: int = 0
    reused: int = 0

    @property
    def ended(self) -> int:
        """How many items will not change any more."""
        return self.succeeded + self.failed + self.canceled + self.expired


class Batch(Resource):
    """Many jobs controlled as one: `open`, `running`, `paused`, `canceled` or `finished`."""

    id: str
    state: str
    label: str | None = None
    priority: int = 0
    max_parallel: int | None = None
    counts: Counts = Field(default_factory=Counts)
    rate_per_min: float | None = None
    eta_s: float | None = None
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None


class ItemError(Resource):
    """Why an item was rejected."""

    line: int
    key: str | None
    code: str
    detail: str


class Added(Resource):
    """How many of the items sent were added, existed already, were rejected (with `errors`) or skipped.

    `unreadable` counts pictures of kinds that the server cannot read, by kind.
    """

    added: int = 0
    existing: int = 0
    rejected: int = 0
    skipped: int = 0
    unreadable: dict[str, int] = Field(default_factory=dict)
    errors: list[ItemError] = Field(default_factory=list)


class ItemResult(Resource):
    """An item that has ended; `number` is its position in the feed, `content` the id of its photograph."""

    number: int
    key: str
    job_id: str
    content: str | None = None
    state: str
    error: Failure | None = None


class _Retried(Resource):
    retried: int


class BatchCalls(OutputCalls):
    """Batches and their items."""

    def open_batch(self, *, idempotency_key: str | None = None, **request: Any) -> Batch:
        """Open a batch with the fields of `POST /v1/batches`; one with `matrix` is filled and started as well."""
        return self._create(Batch, _BATCHES, idempotency_key, json=request)

    def batch(self, batch_id: str) -> Batch:
        """Return the current state of a batch."""
        return self._get(Batch, "GET", path_of(_BATCHES, batch_id))

    def batches(
        self, *, state: str | None = None, label: str | None = None, limit: int | None = None
    ) -> Iterator[Batch]:
        """Yield batches, newest first."""
        return self._list(Batch, _BATCHES, "batches", {"state": state, "label": label}, limit)

    def add_items(self, batch_id: str, items: Iterable[dict[str, Any]]) -> Added:
        """Add items `{key, content, params?, styles?}`, whose contents are image ids; existing keys are kept."""
        pending, answers = iter(items), []
        while chunk := list(itertools.islice(pending, _CHUNK)):
            body = b"".join(json.dumps(item).encode() + b"\n" for item in chunk)
            answers.append(
                self._create(Added, path_of(_BATCHES, batch_id, "items"), content=body, headers=dict(_LINES))
            )
        return Added(
            added=sum(each.added for each in answers),
            existing=sum(each.existing for each in answers),
            rejected=sum(each.rejected for each in answers),
            errors=[error for each in answers for error in each.errors],
        )

    def add_archive(self, batch_id: str, archive: Path, *, name_encoding: str | None = None) -> Added:
        """Add the pictures in a zip or tar file, whose names are UTF-8 or else in `name_encoding`, such as `cp932`.

        If none can be added, the problem's code is `nothing_added`, and its `errors` say why.
        """
        kind = "application/zip" if archive.suffix.lower() == ".zip" else "application/x-tar"
        with archive.open("rb") as file:
            path = path_of(_BATCHES, batch_id, "items")
            query = {"name_encoding": name_encoding} if name_encoding else None
            return self._get(Added, "POST", path, content=file, headers={"Content-Type": kind}, params=query)

    def control_batch(self, batch_id: str, action: BatchAction) -> Batch:
        """Start, pause, resume or cancel a batch; does nothing if that has been done already."""
        return self._create(Batch, path_of(_BATCHES, batch_id, action))

    def update_batch(self, batch_id: str, **changes: Any) -> Batch:
        """Change `priority` or `max_parallel`."""
        return self._get(Batch, "PATCH", path_of(_BATCHES, batch_id), json=changes)

    def retry_failed(self, batch_id: str, *, time_limit_s: float | None = None) -> int:
        """Retry all failed and expired items, each with its own time limit or with another; return their number."""
        body: dict[str, Any] = {} if time_limit_s is None else {"json": {"time_limit_s": time_limit_s}}
        return self._create(_Retried, path_of(_BATCHES, batch_id, "retry-failed"), **body).retried

    def batch_items(self, batch_id: str, *, states: Sequence[str] = (), limit: int | None = None) -> Iterator[Job]:
        """Yield items in the order in which they were added."""
        return self._list(Job, path_of(_BATCHES, batch_id, "items"), "jobs", {"state": list(states)}, limit)

    def batch_results(self, batch_id: str, *, after: int = 0, follow: bool = False) -> Iterator[ItemResult]:
        """Yield the results after number `after`; with `follow`, until the batch ends, through lost connections."""
        budget, ended = self._retry_budget(), not follow
        while True:
            try:
                for result in self._feed(batch_id, after, budget, follow=follow):
                    after = result.number
                    yield result
                if ended:
                    return
                # a feed may end before its batch, whose last results are then read by one more
                ended = self.batch(batch_id).ended_at is not None
            except (httpx.TransportError, ApiProblem) as failure:
                if not is_transient(failure):
                    raise
                if not budget.wait():
                    lost = isinstance(failure, httpx.TransportError)
                    raise (self._unreachable(failure) if lost else failure) from failure

    def _feed(self, batch_id: str, after: int, budget: RetryBudget, *, follow: bool) -> Iterator[ItemResult]:
        """Read one feed; a result or a heartbeat resets the budget, the empty line that opens the feed does not."""
        timeout = httpx.Timeout(self._http.timeout.connect, read=_FEED_SILENCE_S)
        query = {"after": after, "follow": str(follow).lower()}
        with self._stream(path_of(_BATCHES, batch_id, "results.jsonl"), params=query, timeout=timeout) as answer:
            for place, line in enumerate(answer.iter_lines()):
                if line or place:
                    budget.reset()
                if line:
                    yield self._parsed(line)

    def _parsed(self, line: str) -> ItemResult:
        try:
            return ItemResult.model_validate_json(line)
        except ValueError as error:
            raise self._foreign() from error

    def download_batch(self, batch_id: str, part: BatchPart, path: Path) -> None:
        """Write a batch's archive or contact sheet to `path`, whole or not at all."""
        self._save(path_of(_BATCHES, batch_id, part), path)

    def promote(self, batch_id: str, key: str, *, size: int = 0, **params: Any) -> Job:
        """Submit an item as a job of its own, at `size` px, or at the content's size if 0."""
        return self._create(
            Job, path_of(_BATCHES, batch_id, "promote"), json={"key": key, "size": size, "params": params}
        )
