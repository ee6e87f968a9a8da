"""What operators and probes get, as pydantic models: the workers, the queue, the server's health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.states import DesiredState, Role


class WorkerView(BaseModel):
    """A worker: what it does, what is wished of it; `gone` if it has not been heard of lately."""

    name: str
    state: Literal["working", "idle", "paused", "drained", "gone"]
    wish: DesiredState
    job_id: str | None
    weights: dict[str, Any] | None = Field(description="Null until its painter is ready.")
    device: dict[str, Any] | None
    memory: dict[str, int] | None = Field(description="Bytes that painting may take at most, holds and has held.")
    warm_styles: list[str] = Field(description="Style images that it need not load again, the last used first.")
    started_at: str
    seen_at: str


class WorkersView(BaseModel):
    """All workers, by name."""

    workers: list[WorkerView]


class BacklogView(BaseModel):
    """What waits and runs, and whether jobs are handed out."""

    queued: int
    running: int
    sent: int = Field(description="How many of those queued have been sent to the workers.")
    oldest_waiting_s: float | None = Field(description="Age of the oldest queued job.")
    paused_at: str | None = Field(description="Since when an operator has the queue paused.")
    held_for: str | None = Field(description="The trouble until whose end the queue holds by itself.")
    workers: int = Field(description="Workers that live.")


class HealthView(BaseModel):
    """Alive."""

    state: Literal["alive"]


class PartView(BaseModel):
    """One part's health."""

    ok: bool
    latency_ms: float


class ReadinessView(BaseModel):
    """Whether requests can be served: `degraded` without Redis, `unavailable` without database or storage."""

    state: Literal["ready", "degraded", "unavailable"]
    parts: dict[str, PartView]


#: What an owner is called.
OWNER = r"^[A-Za-z0-9._-]{1,64}$"


class KeyRequest(BaseModel):
    """A key to make; a limit that is null is none."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "website", "role": "client", "max_waiting": 100}]}
    )
    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$", description="For people.")
    owner: str | None = Field(
        None, pattern=OWNER, description="Whose jobs it makes and sees; keys may share one. By default the name."
    )
    role: Role = Field(Role.CLIENT, description="client: its owner's jobs; viewer: sees all; operator: does all.")
    max_waiting: int | None = Field(None, ge=1, le=10**9, description="Most jobs of its owner that may wait.")
    max_work_per_day: float | None = Field(None, gt=0, le=1e18, description="Most work a day (UTC), in px·steps.")
    max_requests_per_min: int | None = Field(None, ge=1, le=10**6, description="Most requests in any minute.")
    max_retention_s: float | None = Field(None, gt=0, le=1e10, description="Longest that files of its jobs may stay.")


class KeyView(BaseModel):
    """A key, without what opens anything."""

    id: str
    name: str
    owner: str
    role: Role
    max_waiting: int | None
    max_work_per_day: float | None
    max_requests_per_min: int | None
    max_retention_s: float | None
    created_at: str
    revoked_at: str | None
    links: dict[str, str]


class NewKeyView(KeyView):
    """A key that was just made, in full for this once."""

    key: str = Field(description="Shown now and never again.")


class KeyPage(BaseModel):
    """A page of keys, oldest first."""

    keys: list[KeyView]
    next_cursor: str | None
