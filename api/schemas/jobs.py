"""Jobs and images.

The form of IDs is validated here; the use cases check that they exist.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from api.schemas.links import Links
from api.schemas.metadata import Metadata
from api.schemas.priority import Priority
from shared.ids import IMAGE_ID, is_uuid
from shared.painting.params import DEFAULT_PRESET, PRESETS, WeightsName
from shared.states import State

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def _require_rfc3339(value: object) -> object:
    """Reject what pydantic would also accept: numbers, bare dates and times without a zone."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("use an RFC 3339 time with a zone, such as 2030-01-31T12:00:00Z")
    return value


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is out of range") from None


def _canonical_uuid(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("use the ID of a job")
    return text


Preset = StrEnum("Preset", {name: name for name in PRESETS})  # type: ignore[misc]
Timestamp = Annotated[AwareDatetime, BeforeValidator(_require_rfc3339), AfterValidator(_in_utc)]
ImageId = Annotated[str, Field(pattern=f"^{IMAGE_ID.pattern}$", description="The ID of an image, a hash of its bytes.")]
JobId = Annotated[str, AfterValidator(_canonical_uuid)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
#: What a queued job waits for.
WaitingFor = Literal["turn", "paused", "no_worker", "no_worker_with_memory", "quota"]


class StyleChoice(BaseModel):
    """A style image and its share of the blend."""

    model_config = ConfigDict(extra="forbid")
    image: ImageId
    weight: float = Field(
        1.0, strict=True, gt=0, le=1000, allow_inf_nan=False, description="Its share relative to the others."
    )
    mask: ImageId | None = Field(None, description="Where to paint it: white on black, in the content's aspect ratio.")


class PaintingRequest(BaseModel):
    """What jobs and batches have in common."""

    model_config = ConfigDict(extra="forbid")
    style: ImageId | None = Field(None, description="The one style image; or use `styles`.")
    styles: list[StyleChoice] | None = Field(None, min_length=1, max_length=16, description="Several styles to blend.")
    preset: Preset = Field(Preset(DEFAULT_PRESET), description="The named set of parameters to start from.")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="Overrides of the preset's parameters.")
    weights: WeightsName | None = Field(
        None, description="VGG19 weights to require; `auto` and null use the worker's own."
    )
    depth: Literal[8, 16] = Field(8, description="Bits per channel of the result, as PNG and as TIFF.")
    keep_metadata: bool = Field(
        False, strict=True, description="Keep date, camera, place and resolution of the photograph in the result."
    )
    webhook: str | None = Field(None, max_length=2000, description="URL to notify when it ends; see `/v1/webhooks`.")
    label: str | None = Field(None, max_length=200, description="A name to find it by.")
    metadata: Metadata = Field(default_factory=dict)

    def style_choices(self) -> list[StyleChoice]:
        """Return `style` or `styles` as a list."""
        return self.styles or [StyleChoice(image=str(self.style))]

    def weights_wanted(self) -> str | None:
        """Return the weights to require; None means the worker's own."""
        return None if self.weights == "auto" else self.weights


class JobRequest(PaintingRequest):
    """A job to submit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"content": f"sha256:{'0' * 64}", "style": f"sha256:{'1' * 64}", "preset": DEFAULT_PRESET}]
        }
    )
    content: ImageId
    name: str | None = Field(
        None, min_length=1, max_length=512, description="File name of the photograph; downloads are named after it."
    )
    init_image: ImageId | None = Field(None, description="The image to start from; null starts as `params` say.")
    init_job: JobId | None = Field(None, description="A succeeded job whose result to start from.")
    priority: Priority = 0
    start_by: Timestamp | None = Field(None, description="A job that has not started by then expires.")
    time_limit_s: Seconds | None = Field(
        None, description="Longest time it may run, in seconds, up to the server's limit."
    )
    reuse: bool = Field(False, strict=True, description="Reuse the result of an identical earlier job.")
    retention_s: Seconds | None = Field(
        None, description="How long its files are kept after it ends, in seconds, up to the server's limit."
    )

    @model_validator(mode="after")
    def _one_way_to_name_styles(self) -> Self:
        if (self.style is None) == (self.styles is None):
            raise ValueError("give either style or styles")
        return self

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.init_image is not None and self.init_job is not None:
            raise ValueError("give either init_image or init_job")
        return self


class ImageView(BaseModel):
    """An uploaded image; width and height are those of its upright orientation."""

    id: str
    width: int
    height: int
    format: Literal["jpeg", "png", "webp", "tiff", "heic", "avif", "gif", "bmp"]
    bytes: int
    created_at: str
    expires_at: str = Field(description="When it is deleted unless used again; never before the jobs that need it end.")
    links: Links


class LossesView(BaseModel):
    """The weighted terms of the loss at one step."""

    total: float
    content: float
    style: float
    tv: float


class ProgressView(BaseModel):
    """The latest step of a job."""

    step: int
    total: int
    fraction: float = Field(description="Completed share of all steps, from 0 to 1.")
    scale: int
    scales: int
    losses: LossesView
    step_ms: float
    eta_s: float


class QueueView(BaseModel):
    """A job's position in the queue and what it waits for; a retry first waits until `retry_at`."""

    position: int
    eta_s: float | None
    waiting_for: WaitingFor


class EtaView(BaseModel):
    """When a job is expected to end, predicted from earlier jobs."""

    p50_s: float = Field(description="Median of the time left, in seconds.")
    p90_s: float = Field(description="90th percentile of the time left, in seconds.")
    ends_at: str = Field(description="The time `p50_s` from now.")


class ErrorView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool


class ResultView(BaseModel):
    """The painted picture; `partial` if the job ended before its last step, `expired` if its files were deleted."""

    width: int
    height: int
    bytes: int
    format: str
    partial: bool
    expired: bool
    depth: int = Field(8, description="Bits per channel of the stored picture.")
    strength: float = Field(description="The saved strength, from 0, the photograph, to 1, as painted.")


class JobView(BaseModel):
    """A job."""

    id: str
    owner: str
    state: State
    preset: str
    params: dict[str, Any]
    weights: dict[str, Any] | None = Field(
        description="Name and SHA-256 of the VGG19 weights; if `auto` chose them, `reason` says why no better ones."
    )
    content: str
    name: str | None = Field(description="File name of the photograph; downloads are named after it.")
    styles: list[StyleChoice]
    init_image: str | None
    depth: int
    keep_metadata: bool
    priority: int
    label: str | None
    metadata: dict[str, Any]
    batch_id: str | None
    key: str | None = Field(description="Its name in its batch.")
    retry_of: str | None
    reused_from: str | None = Field(description="The earlier job whose result it reused.")
    attempt: int
    retry_at: str | None
    start_by: str | None
    time_limit_s: float | None
    retention_s: float
    webhook: str | None
    worker: str | None
    progress: ProgressView | None
    queue: QueueView | None
    eta: EtaView | None = Field(description="Null once it has ended, or if unknown.")
    error: ErrorView | None
    result: ResultView | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    expires_at: str | None
    links: Links


class SizeView(BaseModel):
    """A size in pixels."""

    width: int
    height: int


class EstimateView(BaseModel):
    """The predicted cost of a job on the fastest worker with enough memory."""

    seconds: float
    peak_bytes: int = Field(description="Peak memory of the worker's process, in bytes.")
    tile_size: int = Field(description="Side of the tiles at the last scale, in px; 0 if it needs none.")
    scales: list[SizeView] = Field(description="The sizes painted, one after another.")


class DryRunView(BaseModel):
    """A job as it would be queued, with all defaults filled in; nothing is stored."""

    preset: str
    params: dict[str, Any]
    weights: dict[str, Any] | None
    content: str
    styles: list[StyleChoice]
    init_image: str | None
    estimate: EstimateView | None = Field(description="Null until a worker has reported its capacity.")


class JobPage(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None


class ProblemView(BaseModel):
    """An error as in RFC 9457, with a stable `code`; `errors` points at each invalid value."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]] | None = None
