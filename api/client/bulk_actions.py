"""Calls about bulk actions (operations) on jobs, the audit log and the groups of failures."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Unpack

from pydantic import Field

from .job_request import FilterOptions, filter_request
from .models import Resource
from .transport import Connection, path_of, timestamp

_OPERATIONS, _AUDIT = "/v1/operations", "/v1/audit"


class Matched(Resource):
    """How many jobs an operation would act on; with `more`, at least that many."""

    action: str
    matched: int
    more: bool = False


class Operation(Resource):
    """An action on many jobs and its progress: `running`, `done` or `stopped`."""

    id: str
    action: str
    state: str
    filter: dict[str, Any] = Field(default_factory=dict)
    reason: str | None = None
    time_limit_s: float | None = None
    key_id: str | None = None
    owner: str | None = None
    matched: int = 0
    more: bool = False
    done: int = 0
    refused: int = 0
    created_at: str | None = None
    ended_at: str | None = None


class AuditEntry(Resource):
    """One action, and who took it."""

    id: str
    at: str
    action: str
    key_id: str | None = None
    key_name: str | None = None
    subject: str | None = None
    count: int = 1
    reason: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class FailureGroup(Resource):
    """Jobs that failed with the same error at the same scale."""

    code: str
    count: int
    scale: int | None = None
    first_at: str | None = None
    last_at: str | None = None
    workers: int | None = None
    worker: str | None = None
    message: str | None = None
    examples: Sequence[str] = ()


class OperationCalls(Connection):
    """Bulk actions, on everyone's jobs for operators and on their own for clients; the audit log and failures."""

    def count_jobs(self, action: str, **filters: Unpack[FilterOptions]) -> Matched:
        """Count the jobs that `start_operation` would act on."""
        body = {"action": action, "filter": filter_request(filters), "dry_run": True}
        return self._get(Matched, "POST", _OPERATIONS, json=body)

    def start_operation(
        self,
        action: str,
        reason: str,
        *,
        time_limit_s: float | None = None,
        idempotency_key: str | None = None,
        **filters: Unpack[FilterOptions],
    ) -> Operation:
        """Have the server `cancel`, `retry` or `delete` all matching jobs in the background.

        `reason` is kept in the audit log. Retried jobs keep their time limits unless `time_limit_s` is another one.
        """
        body: dict[str, Any] = {"action": action, "filter": filter_request(filters), "reason": reason}
        if time_limit_s is not None:
            body["time_limit_s"] = time_limit_s
        return self._create(Operation, _OPERATIONS, idempotency_key, json=body)

    def operations(self, *, limit: int | None = None) -> Iterator[Operation]:
        """Yield operations, newest first."""
        return self._list(Operation, _OPERATIONS, "operations", limit=limit)

    def operation(self, operation_id: str) -> Operation:
        """Return the current state of an operation."""
        return self._get(Operation, "GET", path_of(_OPERATIONS, operation_id))

    def stop_operation(self, operation_id: str) -> Operation:
        """Stop an operation; jobs it has already processed stay as they are."""
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
        """Yield the matching entries of the audit log, newest first. Times need a UTC offset."""
        query = {"key_id": key_id, "action": action, "after": timestamp(after), "before": timestamp(before)}
        return self._list(AuditEntry, _AUDIT, "entries", query, limit)

    def failures(self) -> list[FailureGroup]:
        """Return recent failures in groups, the most recent first."""
        return self._read_list(FailureGroup, self._request("GET", "/v1/failures"), "failures")
