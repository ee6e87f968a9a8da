"""What operators and probes get, as pydantic models: the workers, the queue, the server's health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from shared.states import Wish


class WorkerView(BaseModel):
    """A worker: what it does, what is wished of it; `gone` if it has not been heard of lately."""

    name: str
    state: Literal["working", "idle", "paused", "drained", "gone"]
    wish: Wish
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
