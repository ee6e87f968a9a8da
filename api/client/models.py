"""What the client returns and raises: resources of the API, events, and errors.

A model names the fields that the client uses and keeps all others (`model_extra`), so that an older client works with
a newer server. `raw()` returns the answer as plain JSON.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, RootModel

from .names import TERMINAL_STATES


class Resource(BaseModel):
    """A resource as the server sent it, unknown fields included."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def raw(self) -> dict[str, Any]:
        """Return the resource as plain JSON, exactly the fields that were sent."""
        return self.model_dump(mode="json", exclude_unset=True)


class Document(RootModel[dict[str, Any]]):
    """Any JSON object."""


class EventsToken(Resource):
    """What opens the events of one job for a minute, to clients that cannot send a key."""

    token: str
    expires_at: str
    url: str


class Image(Resource):
    """An uploaded picture; its id is the hash of its bytes."""

    id: str
    width: int
    height: int
    format: str | None = None
    bytes: int | None = None
    created_at: str | None = None


class Progress(Resource):
    """How far a job is: `step` of `total` over all scales, with the losses of that step by part."""

    step: int
    total: int
    scale: int | None = None
    scales: int | None = None
    losses: dict[str, float] = {}
    step_ms: float | None = None
    eta_s: float | None = None


class Queue(Resource):
    """Why a job is not running yet; `position` counts from 1."""

    position: int | None = None
    eta_s: float | None = None
    waiting_for: str | None = None


class Eta(Resource):
    """When a job is expected to end: seconds from now at the median and the 90th percentile, and the time of day."""

    p50_s: float | None = None
    p90_s: float | None = None
    ends_at: str | None = None


class Failure(Resource):
    """Why a job failed: a stable code and a sentence."""

    code: str
    message: str
    retryable: bool | None = None


class Job(Resource):
    """One content image, its styles, one set of parameters, one result."""

    id: str
    state: str
    owner: str | None = None
    preset: str | None = None
    params: dict[str, Any] = {}
    weights: dict[str, Any] | None = None
    label: str | None = None
    retry_of: str | None = None
    name: str | None = None
    depth: int = 8
    keep_metadata: bool = False
    priority: int = 0
    time_limit_s: float | None = None
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
        """Whether the job has reached a terminal state."""
        return self.state in TERMINAL_STATES


class Size(Resource):
    """A size in pixels."""

    width: int
    height: int


class Estimate(Resource):
    """What a run is predicted to take.

    `scales` are the sizes painted one after the other; `tile_size` is in px, 0 if the picture is painted whole.
    """

    seconds: float
    peak_bytes: int
    tile_size: int = 0
    scales: list[Size] = []


class DryRun(Resource):
    """What a job would be: all its parameters, and an estimate if a worker has measured its device."""

    preset: str
    params: dict[str, Any]
    estimate: Estimate | None = None


class Worker(Resource):
    """A worker: what it does, and in `wish` the state that an operator wants it in."""

    name: str
    state: str
    wish: str | None = None
    job_id: str | None = None
    weights: dict[str, Any] | None = None
    device: dict[str, Any] | None = None
    started_at: str | None = None
    seen_at: str | None = None


class Backlog(Resource):
    """How many jobs wait and run, and whether the queue is paused."""

    queued: int
    running: int
    sent: int | None = None
    oldest_waiting_s: float | None = None
    paused_at: str | None = None
    held_for: str | None = None
    workers: int | None = None


class Readiness(Resource):
    """The server's health: `ready`, `degraded` or `unavailable`, and each of its parts."""

    state: str
    parts: dict[str, dict[str, Any]] = {}


class Event(NamedTuple):
    """One entry of a job's event stream: `state`, `step`, `preview`, `gap` or `end`."""

    id: str
    name: str
    data: dict[str, Any]


class ClientError(Exception):
    """The root of all the client's errors."""


class Unreachable(ClientError):
    """The server does not answer, or stopped answering."""


class WaitTimeout(ClientError):
    """The job did not end in the time given to wait for it."""


class UnwritableOutput(ClientError):
    """The output file cannot be written."""


class ApiProblem(ClientError):
    """The server refused a request, with a stable `code`, a sentence and, for bad input, a list of `errors`."""

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
        """Keep the fields of the problem document; each of `errors` points into the request.

        `retry_after` is in seconds; `request_id` identifies the request to the server's operator.
        """
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, errors or []
        self.retry_after, self.request_id = retry_after, request_id
        #: Whether an earlier attempt seemed to fail; the server may have carried it out all the same.
        self.repeated = False

    def about(self, name: str) -> ApiProblem:
        """Return the same problem with `name` before its sentence."""
        detail = f"{name}: {self.detail}"
        return ApiProblem(
            self.status, self.code, detail, self.errors, retry_after=self.retry_after, request_id=self.request_id
        )

    def __str__(self) -> str:
        """Write the sentence, which covers the first error, and one line for each further error."""
        lines = [f"  {error.get('detail', error)}" for error in self.errors[1:]]
        return "\n".join([self.detail, *lines])
