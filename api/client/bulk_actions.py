"""The client's calls about many jobs at once, and about what was done and what failed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from pydantic import BaseModel, Field

from api.client.models import Answer
from api.client.transport import Connection, path_of

_OPERATIONS, _AUDIT = "/v1/operations", "/v1/audit"
#: Entries asked for at a time.
_PAGE = 100


class JobFilter(TypedDict, total=False):
    """Which jobs: those of which all that is given holds. Moments have their zones."""

    states: Sequence[str]
    code: str | None
    owner: str | None
    label: str | None
    batch: str | None
    created_after: datetime | None
    created_before: datetime | None


class Matched(Answer):
    """How many jobs an operation would be about; with `more`, at least so many."""

    action: str
    matched: int
    more: bool = False


class Operation(Answer):
    """An action on many jobs: `running`, `done` or `stopped`, and how far it is."""

    id: str
    action: str
    state: str
    filter: dict[str, Any] = Field(default_factory=dict)
    reason: str | None = None
    key_id: str | None = None
    owner: str | None = None
    matched: int = 0
    more: bool = False
    done: int = 0
    refused: int = 0
    created_at: str | None = None
    ended_at: str | None = None


class AuditEntry(Answer):
    """Something that somebody did."""

    id: str
    at: str
    action: str
    key_id: str | None = None
    key_name: str | None = None
    subject: str | None = None
    count: int = 1
    reason: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class FailureGroup(Answer):
    """Jobs that failed alike: by one error, at one scale."""

    code: str
    count: int
    scale: int | None = None
    first_at: str | None = None
    last_at: str | None = None
    workers: int | None = None
    worker: str | None = None
    message: str | None = None
    examples: Sequence[str] = ()


class _Operations(BaseModel):
    operations: list[Operation]


class _Entries(BaseModel):
    entries: list[AuditEntry]


class _Failures(BaseModel):
    failures: list[FailureGroup]


class OperationCalls(Connection):
    """Actions on many jobs, for operators on everyone's and for clients on their own; the log and the failures."""

    def count_jobs(self, action: str, **wanted: Unpack[JobFilter]) -> Matched:
        """Count the jobs that `operate` would be about."""
        body = {"action": action, "filter": _fields(wanted), "dry_run": True}
        return self._get(Matched, "POST", _OPERATIONS, json=body)

    def operate(
        self, action: str, reason: str, *, idempotency_key: str | None = None, **wanted: Unpack[JobFilter]
    ) -> Operation:
        """Have all jobs that are `wanted` canceled, tried again or deleted; the server carries it out by itself.

        `action` is `cancel`, `retry` or `delete`; `reason` is kept in the audit log.
        """
        body = {"action": action, "filter": _fields(wanted), "reason": reason}
        return self._make(Operation, _OPERATIONS, idempotency_key, json=body)

    def operations(self, *, limit: int | None = None) -> Iterator[Operation]:
        """Yield operations, newest first."""
        pages = (self._read(_Operations, answer).operations for answer in self._answers(_OPERATIONS, limit, {}))
        yield from itertools.islice(itertools.chain.from_iterable(pages), limit)

    def operation(self, operation_id: str) -> Operation:
        """Return an operation as it is now."""
        return self._get(Operation, "GET", path_of(_OPERATIONS, operation_id))

    def stop_operation(self, operation_id: str) -> Operation:
        """Have an operation deal with no further job; what it has done stays done."""
        return self._get(Operation, "POST", path_of(_OPERATIONS, operation_id, "stop"))

    def audit(
        self,
        *,
        key_id: str | None = None,
        action: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[AuditEntry]:
        """Yield what was done, newest first: with that key, that action, between those moments."""
        query = {"key_id": key_id, "action": action, "after": _text(after), "before": _text(before)}
        pages = (self._read(_Entries, answer).entries for answer in self._answers(_AUDIT, limit, query))
        yield from itertools.islice(itertools.chain.from_iterable(pages), limit)

    def failures(self) -> list[FailureGroup]:
        """Return the last failures in groups, that which was met last first."""
        return self._get(_Failures, "GET", "/v1/failures").failures

    def _answers(self, url: str, limit: int | None, query: dict[str, Any]) -> Iterator[Any]:
        """Ask for a list's pages as they are wanted."""
        given = {name: value for name, value in query.items() if value is not None}
        params: dict[str, Any] | None = {**given, "limit": min(limit or _PAGE, _PAGE)}
        while url:
            answer = self._request("GET", url, params=params)
            yield answer
            url, params = answer.links.get("next", {}).get("url", ""), None


def _fields(wanted: JobFilter) -> dict[str, Any]:
    """Write a filter as the server reads it."""
    moments = {
        "created_after": _text(wanted.get("created_after")),
        "created_before": _text(wanted.get("created_before")),
    }
    fields = {**wanted, **moments, "state": list(wanted.get("states", ())) or None}
    return {name: value for name, value in fields.items() if value is not None and name != "states"}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None
