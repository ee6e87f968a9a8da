"""Workers, the queue, health probes and API keys."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.links import Links
from shared.states import DesiredState, Role


class WorkerView(BaseModel):
    """A worker, its state and the state an operator wants; `gone` if it has not been seen recently."""

    name: str
    state: Literal["working", "idle", "paused", "drained", "gone"]
    wish: DesiredState
    job_id: str | None
    weights: dict[str, Any] | None = Field(description="Null until its engine is ready.")
    device: dict[str, Any] | None
    memory: dict[str, int] | None = Field(description="In bytes: the limit, what is held now, and the peak.")
    warm_styles: list[str] = Field(description="Styles that it starts with at once, the most recently used first.")
    started_at: str
    seen_at: str


class WorkersView(BaseModel):
    """All workers, by name."""

    workers: list[WorkerView]


class BacklogView(BaseModel):
    """The queue: how many jobs wait and run, and whether it is paused."""

    queued: int
    running: int
    sent: int = Field(description="How many queued jobs have been sent to the workers.")
    oldest_waiting_s: float | None = Field(description="Age of the oldest queued job, in seconds.")
    paused_at: str | None = Field(description="When an operator paused the queue; null if it is not paused.")
    held_for: str | None = Field(description="The error that put the queue on hold until it passes.")
    workers: int = Field(description="Live workers.")


class HealthView(BaseModel):
    """The server is alive."""

    state: Literal["alive"]


class PartView(BaseModel):
    """The health of one dependency."""

    ok: bool
    latency_ms: float
    reason: str | None = Field(None, description="What is broken, where more is known than that it is.")


class ReadinessView(BaseModel):
    """Whether the server can serve requests: `unavailable` without database or storage.

    It is `degraded` without Redis, and while a task of maintenance is broken.
    """

    state: Literal["ready", "degraded", "unavailable"]
    parts: dict[str, PartView]


#: An owner's name.
OWNER = r"^[A-Za-z0-9._-]{1,64}$"


class KeyRequest(BaseModel):
    """A key to create; a limit of null means that of the server, if it has one, or unlimited."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "website", "role": "client", "max_waiting": 100}]}
    )
    name: str = Field(min_length=1, max_length=100, description="For display.")
    owner: str | None = Field(
        None, pattern=OWNER, description="The owner of its jobs; several keys may share one. By default, the name."
    )
    role: Role = Field(Role.CLIENT, description="client: its owner's jobs; viewer: reads all; operator: does all.")
    max_waiting: int | None = Field(
        None, strict=True, ge=1, le=10**9, description="Maximum number of queued jobs of its owner."
    )
    max_work_per_day: float | None = Field(
        None, strict=True, gt=0, le=1e18, description="Maximum work per day (UTC), in px·steps."
    )
    max_requests_per_min: int | None = Field(
        None, strict=True, ge=1, le=10**6, description="Maximum requests in any minute."
    )
    max_retention_s: float | None = Field(
        None, strict=True, gt=0, le=1e10, description="Longest time files of its jobs are kept, in seconds."
    )
    max_stored_bytes: int | None = Field(
        None, strict=True, ge=1, le=10**18, description="Maximum size of its owner's uploads and results, in bytes."
    )


class KeyView(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    owner: str
    role: Role
    max_waiting: int | None
    max_work_per_day: float | None
    max_requests_per_min: int | None
    max_retention_s: float | None
    max_stored_bytes: int | None
    created_at: str
    revoked_at: str | None
    links: Links


class NewKeyView(KeyView):
    """A new key, with its secret."""

    key: str = Field(description="The whole key, shown only once.")


class KeyPage(BaseModel):
    """A page of keys, oldest first."""

    keys: list[KeyView]
    next_cursor: str | None
