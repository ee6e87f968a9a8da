"""Bulk actions, the audit log and grouped failures, as pydantic models: they validate, and OpenAPI is made of them."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.schemas.jobs import Moment
from shared.db.admin.bulk_steps import Action
from shared.db.jobs.queries import Filter
from shared.states import OperationState, State


class JobFilter(BaseModel):
    """Which jobs, by at least one of these fields; a job is meant if all that are given hold."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})
    state: list[State] | None = Field(
        None, min_length=1, max_length=len(State), description="By default those that the action is for."
    )
    code: str | None = Field(None, min_length=1, max_length=64, description="Failed by the error of this code.")
    owner: str | None = Field(
        None, min_length=1, max_length=64, description="Of this owner; a client's are its own in any case."
    )
    label: str | None = Field(None, max_length=200, description="With this label.")
    batch: str | None = Field(None, min_length=1, max_length=36, description="Items of this batch.")
    created_after: Moment | None = Field(None, description="Made after this RFC 3339 time.")
    created_before: Moment | None = Field(None, description="Made before this RFC 3339 time.")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("give at least one field: a filter that is empty would mean every job")
        return self

    def wanted(self, owner: str | None) -> Filter:
        """Return the filter of jobs, those of `owner` alone unless it is None."""
        moments = (self.created_after, self.created_before)
        return Filter(tuple(self.state or ()), owner or self.owner, self.label, *moments, self.code, self.batch)


class OperationRequest(BaseModel):
    """One action on every job that a filter finds."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "retry", "filter": {"code": "storage_full"}, "reason": "The disk has room again."}]
        },
    )
    action: Action
    filter: JobFilter
    reason: str = Field("", max_length=500, description="Why, for the audit log; needed unless it is a dry run.")
    dry_run: bool = Field(False, description="Only count the jobs that it is about.")

    @model_validator(mode="after")
    def _is_reasoned(self) -> Self:
        if not self.dry_run and not self.reason.strip():
            raise ValueError("give a reason: it is kept in the audit log")
        return self


class MatchedView(BaseModel):
    """What an operation would be about."""

    action: Action
    matched: int = Field(description="How many jobs the filter finds now.")
    more: bool = Field(description="Whether it finds more than that, which are not counted.")


class OperationView(BaseModel):
    """A bulk action, how far it is, and who asked for it why."""

    id: str
    action: Action
    filter: dict[str, Any]
    reason: str
    state: OperationState
    key_id: str
    owner: str | None = Field(description="Whose jobs alone it may touch; null is everyone's.")
    matched: int = Field(description="How many jobs it found at its beginning.")
    more: bool = Field(description="Whether it found more than that, which were not counted.")
    done: int = Field(description="How many jobs it has dealt with.")
    refused: int = Field(description="How many of these could not be dealt with, by their state, pictures or quota.")
    created_at: str
    ended_at: str | None
    links: dict[str, str]


class OperationPage(BaseModel):
    """A page of operations, newest first."""

    operations: list[OperationView]
    next_cursor: str | None


class AuditEntryView(BaseModel):
    """Something that somebody did."""

    id: str
    at: str
    key_id: str
    key_name: str
    action: str = Field(description="Such as `job.cancel`, `queue.pause`, `key.create`, `operation.start`.")
    subject: str | None = Field(description="What it was done to.")
    count: int
    reason: str | None
    details: dict[str, Any]


class AuditPage(BaseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryView]
    next_cursor: str | None


class FailureView(BaseModel):
    """Jobs that failed alike: by one error, at one scale."""

    code: str
    scale: int | None = Field(description="Which scale was being painted, from 1 on; null before the first step.")
    count: int
    first_at: str
    last_at: str
    workers: int = Field(description="On how many workers.")
    worker: str | None = Field(description="The worker, or one of them.")
    message: str = Field(description="What the last one said.")
    examples: list[str] = Field(description="The last jobs, newest first.")
    links: dict[str, str]


class FailuresView(BaseModel):
    """The last failures, in groups, that which was met last first."""

    failures: list[FailureView]
    since_s: float = Field(description="How far back was looked, in seconds.")
    most: int = Field(description="How many failures were looked at, at most.")
