"""The client's calls about batches: open, fill, steer, read what came out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, Field

from api.client.downloads import Outputs
from api.client.models import Answer, ApiProblem, Failure, Job
from api.client.transport import passes, path_of

_BATCHES = "/v1/batches"
#: Items sent, and rows asked for, at a time.
_AT_ONCE, _PAGE = 1_000, 100
#: A feed that is silent for this long is dead: the server sends a sign of life every 15 s.
_FEED_SILENCE_S = 45.0
_LINES = {"Content-Type": "application/x-ndjson"}


class Counts(Answer):
    """How many items are in each state."""

    total: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    expired: int = 0
    reused: int = 0


class Batch(Answer):
    """Many paintings, steered as one: `open`, `running`, `paused`, `canceled` or `finished`."""

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


class ItemError(Answer):
    """Why an item was not taken."""

    line: int
    key: str | None
    code: str
    detail: str


class Added(Answer):
    """What became of items that were sent."""

    added: int = 0
    existing: int = 0
    rejected: int = 0
    skipped: int = 0
    errors: list[ItemError] = Field(default_factory=list)


class ItemResult(Answer):
    """An item that ended, and its place in the feed."""

    number: int
    key: str
    job_id: str
    state: str
    error: Failure | None = None


class _Page(BaseModel):
    batches: list[Batch]


class _Items(BaseModel):
    jobs: list[Job]


Page = TypeVar("Page", _Page, _Items)


class _Retried(Answer):
    retried: int


class BatchCalls(Outputs):
    """Batches of one server."""

    def open_batch(self, *, idempotency_key: str | None = None, **request: Any) -> Batch:
        """Open a batch by what `POST /v1/batches` takes; with `matrix`, its items are made and it is started."""
        return self._make(Batch, _BATCHES, idempotency_key, json=request)

    def batch(self, batch_id: str) -> Batch:
        """Return a batch as it is now."""
        return self._get(Batch, "GET", path_of(_BATCHES, batch_id))

    def batches(
        self, *, state: str | None = None, label: str | None = None, limit: int | None = None
    ) -> Iterator[Batch]:
        """Yield batches, newest first; at most `limit`."""
        query = {
            "limit": min(limit or _PAGE, _PAGE),
            **{name: value for name, value in (("state", state), ("label", label)) if value},
        }
        pages = (page.batches for page in self._paged(_Page, _BATCHES, query))
        yield from itertools.islice(itertools.chain.from_iterable(pages), limit)

    def add_items(self, batch_id: str, items: Iterable[dict[str, Any]]) -> Added:
        """Add items `{key, content, params?, styles?}`, whose contents are ids; what is there already stays so."""
        pending, answers = iter(items), []
        while chunk := list(itertools.islice(pending, _AT_ONCE)):
            body = b"".join(json.dumps(item).encode() + b"\n" for item in chunk)
            path = path_of(_BATCHES, batch_id, "items")
            # the same items again are those that are there, so the request may be repeated
            answers.append(self._make(Added, path, content=body, headers=dict(_LINES)))
        return Added(
            added=sum(each.added for each in answers),
            existing=sum(each.existing for each in answers),
            rejected=sum(each.rejected for each in answers),
            errors=[error for each in answers for error in each.errors],
        )

    def add_archive(self, batch_id: str, archive: Path) -> Added:
        """Add the pictures of a zip or a tar."""
        kind = "application/zip" if archive.suffix.lower() == ".zip" else "application/x-tar"
        with archive.open("rb") as file:
            path = path_of(_BATCHES, batch_id, "items")
            return self._get(Added, "POST", path, content=file, headers={"Content-Type": kind})

    def steer_batch(self, batch_id: str, way: str) -> Batch:
        """Have it `start`, `pause`, `resume` or `cancel`; where it is so already, nothing happens."""
        return self._make(Batch, path_of(_BATCHES, batch_id, way))

    def change_batch(self, batch_id: str, **changes: Any) -> Batch:
        """Change `priority` or `max_parallel`."""
        return self._get(Batch, "PATCH", path_of(_BATCHES, batch_id), json=changes)

    def retry_failed(self, batch_id: str) -> int:
        """Try again what failed or expired; return how many items."""
        return self._make(_Retried, path_of(_BATCHES, batch_id, "retry-failed")).retried

    def batch_items(self, batch_id: str, *, states: Sequence[str] = (), limit: int | None = None) -> Iterator[Job]:
        """Yield items in the order in which they were added; at most `limit`."""
        query = {"limit": min(limit or _PAGE, _PAGE), "state": list(states)}
        pages = (page.jobs for page in self._paged(_Items, path_of(_BATCHES, batch_id, "items"), query))
        yield from itertools.islice(itertools.chain.from_iterable(pages), limit)

    def batch_results(self, batch_id: str, *, after: int = 0, follow: bool = False) -> Iterator[ItemResult]:
        """Yield what has ended behind the result `after`, and with `follow` what will, through lost connections."""
        patience = self._patience()
        while True:
            try:
                for result in self._feed(batch_id, after, follow=follow):
                    patience.renew()
                    after = result.number
                    yield result
                if not follow or self.batch(batch_id).ended_at is not None:
                    return  # else the stream's life has ended, not the batch
            except (httpx.TransportError, ApiProblem) as failure:
                if isinstance(failure, ApiProblem) and not passes(failure):
                    raise
                if not patience.pause(0.0):
                    gone = isinstance(failure, httpx.TransportError)
                    raise (self._unreachable(failure) if gone else failure) from failure

    def _paged(self, kind: type[Page], url: str, query: dict[str, Any] | None) -> Iterator[Page]:
        while url:
            answer = self._request("GET", url, params=query)
            yield self._read(kind, answer)
            url, query = answer.links.get("next", {}).get("url", ""), None

    def _feed(self, batch_id: str, after: int, *, follow: bool) -> Iterator[ItemResult]:
        timeout = httpx.Timeout(self._http.timeout.connect, read=_FEED_SILENCE_S)
        query = {"after": after, "follow": str(follow).lower()}
        with self._stream(path_of(_BATCHES, batch_id, "results.jsonl"), params=query, timeout=timeout) as answer:
            for line in answer.iter_lines():
                if line.strip():
                    yield ItemResult.model_validate_json(line)

    def save_batch(self, batch_id: str, part: str, out: Path) -> None:
        """Write `archive.zip` or `sheet.webp` of a batch to a file, whole or not at all."""
        self._save(path_of(_BATCHES, batch_id, part), out)

    def promote(self, batch_id: str, key: str, *, size: int = 0, **params: Any) -> Job:
        """Paint an item for good, at `size` px or the content's own, as a job of its own."""
        return self._make(
            Job, path_of(_BATCHES, batch_id, "promote"), json={"key": key, "size": size, "params": params}
        )
