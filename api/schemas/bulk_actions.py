"""Requests and answers about bulk actions, which the API calls operations, the audit log and grouped failures."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.schemas.jobs import Seconds, Timestamp
from api.schemas.links import Links
from shared.db.admin.bulk_steps import Action
from shared.db.jobs.queries import Filter
from shared.states import OperationState, State


class JobFilter(BaseModel):
    """Which jobs a bulk action is for: those that match every field given; at least one must be given."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})
    state: list[State] | None = Field(
        None, min_length=1, max_length=len(State), description="By default, those that the action applies to."
    )
    code: str | None = Field(None, min_length=1, max_length=64, description="Failed with this error code.")
    owner: str | None = Field(
        None, min_length=1, max_length=64, description="Of this owner; a client's filter matches only its own jobs."
    )
    label: str | None = Field(None, max_length=200, description="With this label.")
    batch: str | None = Field(None, min_length=1, max_length=36, description="Items of this batch.")
    created_after: Timestamp | None = Field(None, description="Created after this RFC 3339 time.")
    created_before: Timestamp | None = Field(None, description="Created before this RFC 3339 time.")

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("give at least one field: an empty filter would match every job")
        return self

    def to_db_filter(self, owner: str | None) -> Filter:
        """Return the database's filter, restricted to `owner` unless it is None."""
        return Filter(
            states=tuple(self.state or ()),
            owner=owner or self.owner,
            label=self.label,
            created_after=self.created_after,
            created_before=self.created_before,
            code=self.code,
            batch_id=self.batch,
        )


class OperationRequest(BaseModel):
    """A bulk action to start: what to do with every job that matches the filter, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "retry", "filter": {"code": "storage_full"}, "reason": "The disk has room again."}]
        },
    )
    action: Action
    filter: JobFilter
    reason: str = Field("", max_length=500, description="For the audit log; required unless it is a dry run.")
    time_limit_s: Seconds | None = Field(
        None, description="For `retry`: the longest time each may run, in seconds; null keeps its own."
    )
    dry_run: bool = Field(False, strict=True, description="Only count the jobs that match.")

    @model_validator(mode="after")
    def _limits_only_retries(self) -> Self:
        if self.time_limit_s is not None and self.action != Action.RETRY:
            raise ValueError("time_limit_s is only for the action retry")
        return self

    @model_validator(mode="after")
    def _is_reasoned(self) -> Self:
        if not self.dry_run and not self.reason.strip():
            raise ValueError("give a reason: it is kept in the audit log")
        return self


class MatchedView(BaseModel):
    """The answer to a dry run: how many jobs the bulk action would process."""

    action: Action
    matched: int = Field(description="How many jobs match now.")
    more: bool = Field(description="Whether more match than were counted.")


class OperationView(BaseModel):
    """A bulk action: what is done to which jobs, how far it is, who started it and why."""

    id: str
    action: Action
    filter: dict[str, Any]
    reason: str
    time_limit_s: float | None = Field(description="The time limit of the jobs that it retries; null for their own.")
    state: OperationState
    key_id: str
    owner: str | None = Field(description="The owner to whose jobs it is limited; null for everyone's.")
    matched: int = Field(description="How many jobs matched when it started.")
    more: bool = Field(description="Whether more matched than were counted.")
    done: int = Field(description="How many jobs it has processed.")
    refused: int = Field(description="How many of these were refused, because of their state, their images or a quota.")
    created_at: str
    ended_at: str | None
    links: Links


class OperationPage(BaseModel):
    """A page of bulk actions, the newest first."""

    operations: list[OperationView]
    next_cursor: str | None


class AuditEntryView(BaseModel):
    """An entry of the audit log: what was done to what, when, with which key and why."""

    id: str
    at: str
    key_id: str
    key_name: str
    action: str = Field(description="Such as `job.cancel`, `queue.pause`, `key.create`, `operation.start`.")
    subject: str | None = Field(description="The ID or name of what was acted on.")
    count: int = Field(description="How many jobs, or other things, it was done to.")
    reason: str | None
    details: dict[str, Any]


class AuditPage(BaseModel):
    """A page of the audit log, the newest entry first."""

    entries: list[AuditEntryView]
    next_cursor: str | None


class FailureView(BaseModel):
    """A group of failures: the jobs that failed with the same error at the same scale."""

    code: str
    scale: int | None = Field(description="The scale being painted, from 1; null before the first step.")
    count: int
    first_at: str
    last_at: str
    workers: int = Field(description="On how many workers they failed.")
    worker: str | None = Field(description="One of these workers.")
    message: str = Field(description="The message of the latest.")
    examples: list[str] = Field(description="The IDs of the latest jobs, newest first.")
    links: Links


class FailuresView(BaseModel):
    """Recent failures in groups; the group with the latest failure comes first."""

    failures: list[FailureView]
    since_s: float = Field(description="The period that was searched, in seconds until now.")
    most: int = Field(description="The maximum number of failures read; older ones are left out.")
