"""What the Python client hands out and raises: images, jobs, events, and two kinds of failure.

The models name what this client uses and keep whatever else the server sends (`model_extra`), so that an
older client works with a newer server. `raw()` gives the answer back as plain JSON.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, RootModel

from shared.states import TERMINAL, State


class Answer(BaseModel):
    """A resource as the server sent it, unknown fields included."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def raw(self) -> dict[str, Any]:
        """Return the resource as it came, as plain JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


class Document(RootModel[dict[str, Any]]):
    """Any JSON object."""


class Image(Answer):
    """An uploaded picture; its id is the hash of its bytes."""

    id: str
    width: int
    height: int
    format: str | None = None
    bytes: int | None = None
    created_at: str | None = None


class Progress(Answer):
    """How far a job is: `step` of `total` over all scales, with the losses of that step by part."""

    step: int
    total: int
    scale: int | None = None
    scales: int | None = None
    losses: dict[str, float] = {}
    step_ms: float | None = None
    eta_s: float | None = None


class Queue(Answer):
    """Why a job does not run yet; `position` counts from 1."""

    position: int | None = None
    eta_s: float | None = None
    waiting_for: str | None = None


class Eta(Answer):
    """When a job is expected to end: in how many seconds at evens and at nine in ten, and the moment."""

    p50_s: float | None = None
    p90_s: float | None = None
    ends_at: str | None = None


class Failure(Answer):
    """Why a job failed: a stable code and a sentence."""

    code: str
    message: str
    retryable: bool | None = None


class Job(Answer):
    """One content image, its styles, one set of parameters, one result."""

    id: str
    state: State
    owner: str | None = None
    preset: str | None = None
    params: dict[str, Any] = {}
    weights: Any = None
    label: str | None = None
    retry_of: str | None = None
    webhook: str | None = None
    retention_s: float | None = None
    worker: str | None = None
    progress: Progress | None = None
    queue: Queue | None = None
    eta: Eta | None = None
    error: Failure | None = None
    result: dict[str, Any] | None = None
    created_at: str | None = None
    start_by: str | None = None
    retry_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    expires_at: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the job has reached a state that it never leaves."""
        return self.state in TERMINAL


class Size(Answer):
    """A size in pixels."""

    width: int
    height: int


class Estimate(Answer):
    """What a run is predicted to take; `tile_size` is the side of the tiles in px, 0 if the picture is painted whole.

    `scales` are the sizes painted one after the other.
    """

    seconds: float
    peak_bytes: int
    tile_size: int = 0
    scales: list[Size] = []


class DryRun(Answer):
    """What a job would be: its params in full, and an estimate if a worker is there to go by."""

    preset: str
    params: dict[str, Any]
    estimate: Estimate | None = None


class Worker(Answer):
    """A worker: what it does, and what is wished of it."""

    name: str
    state: str
    wish: str | None = None
    job_id: str | None = None
    weights: dict[str, Any] | None = None
    device: dict[str, Any] | None = None
    started_at: str | None = None
    seen_at: str | None = None


class Backlog(Answer):
    """What waits and runs, and whether jobs are handed out."""

    queued: int
    running: int
    sent: int | None = None
    oldest_waiting_s: float | None = None
    paused_at: str | None = None
    held_for: str | None = None
    workers: int | None = None


class Readiness(Answer):
    """How the server is: `ready`, `degraded` or `unavailable`, and each of its parts."""

    state: str
    parts: dict[str, dict[str, Any]] = {}


class Event(NamedTuple):
    """One entry of a job's event stream: `state`, `step`, `preview`, `gap` or `end`."""

    id: str
    name: str
    data: dict[str, Any]


class ClientError(Exception):
    """What every failure of the client descends from."""


class Unreachable(ClientError):
    """Nothing answers at the server's address, or it stopped answering."""


class Overdue(ClientError):
    """The job has not ended in the time that was given to wait for it."""


class ApiProblem(ClientError):
    """The server refused, with a stable `code`, a sentence and, for bad input, a list of `errors`."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: list[dict[str, Any]] | None = None,
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        """Keep what the problem document said; `errors` point into the request.

        `retry_after` is when to come back, in seconds, and `request_id` what to name to whoever runs the server.
        """
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, errors or []
        self.retry_after, self.request_id = retry_after, request_id
        #: Whether the request was made before, in vain as it seemed: it may have been carried out all the same.
        self.repeated = False

    def about(self, name: str) -> ApiProblem:
        """Return the same problem, its sentence about `name`."""
        detail = f"{name}: {self.detail}"
        return ApiProblem(
            self.status, self.code, detail, self.errors, retry_after=self.retry_after, request_id=self.request_id
        )

    def __str__(self) -> str:
        """Write the sentence, which tells the first mistake, and the others below it."""
        lines = [f"  {error.get('detail', error)}" for error in self.errors[1:]]
        return "\n".join([self.detail, *lines])
