"""What comes in and what goes out, as pydantic models: they validate, and OpenAPI is generated from them.

Ids are checked in form here; whether they name something is the use case's business.
"""

from __future__ import annotations

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

from shared.ids import IMAGE_ID, is_uuid
from shared.painting.params import DEFAULT_PRESET, PRESETS, WeightsName
from shared.states import State

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def _text_of_moment(value: object) -> object:
    """Let no number of seconds, bare date or time without a zone pass for a moment."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("write an RFC 3339 time with its zone, such as 2030-01-31T12:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is outside the calendar") from None


def _canonical_uuid(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("write the id of a job")
    return text


Preset = StrEnum("Preset", {name: name for name in PRESETS})  # type: ignore[misc]
Moment = Annotated[AwareDatetime, BeforeValidator(_text_of_moment), AfterValidator(_in_utc)]
ImageId = Annotated[str, Field(pattern=f"^{IMAGE_ID.pattern}$", description="An image, named by its bytes.")]

JobId = Annotated[str, AfterValidator(_canonical_uuid)]


class StyleChoice(BaseModel):
    """One style image and its share in the blend."""

    model_config = ConfigDict(extra="forbid")
    image: ImageId
    weight: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False, description="Share, relative to the others.")
    mask: ImageId | None = Field(None, description="Where it is painted: white on black, of the content's shape.")


class JobRequest(BaseModel):
    """What to paint."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"content": f"sha256:{'0' * 64}", "style": f"sha256:{'1' * 64}", "preset": DEFAULT_PRESET},
            ]
        },
    )
    content: ImageId
    style: ImageId | None = Field(None, description="The one style image; or use `styles`.")
    styles: list[StyleChoice] | None = Field(None, min_length=1, max_length=16, description="Several, blended.")
    init_image: ImageId | None = Field(None, description="What the painting starts from; null starts as `params` say.")
    init_job: JobId | None = Field(None, description="A job that succeeded, whose picture the painting starts from.")
    preset: Preset = Field(Preset(DEFAULT_PRESET), description="The named set of parameters to start from.")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="What departs from the preset.")
    weights: WeightsName | None = Field(
        None, description="VGG19 weights to insist on; `auto` and null take the worker's."
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first.")
    start_by: Moment | None = Field(None, description="A job that has not begun by then expires.")
    time_limit_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Longest time it may run, in seconds; at most the server's limit."
    )
    reuse: bool = Field(False, description="Take over the picture of an earlier job that was painted in just this way.")
    webhook: str | None = Field(None, max_length=2000, description="Where its end is told; see `/v1/webhooks`.")
    retention_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="How long its files stay once it has ended; at most as long as here.",
    )
    label: str | None = Field(None, max_length=200, description="For finding it again.")
    metadata: dict[str, JsonValue] = Field(default_factory=dict, max_length=64, description="Kept as it is.")

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

    def style_choices(self) -> list[StyleChoice]:
        """Return the styles, however they were named."""
        return self.styles or [StyleChoice(image=str(self.style))]

    def weights_wanted(self) -> str | None:
        """Return the weights to insist on; None takes the worker's."""
        return None if self.weights == "auto" else self.weights


class ImageView(BaseModel):
    """An uploaded image; width and height are those seen upright."""

    id: str
    width: int
    height: int
    format: Literal["jpeg", "png", "webp", "tiff"]
    bytes: int
    created_at: str
    expires_at: str = Field(description="When it goes unless it is used again; never while a job that needs it waits.")
    links: dict[str, str]


class LossesView(BaseModel):
    """The weighted losses of a step, by part."""

    total: float
    content: float
    style: float
    tv: float


class ProgressView(BaseModel):
    """The latest step of a job."""

    step: int
    total: int
    fraction: float = Field(description="Steps made, of all, 0 to 1.")
    scale: int
    scales: int
    losses: LossesView
    step_ms: float
    eta_s: float


class QueueView(BaseModel):
    """Where a job stands in line and why it waits; a job that is to be tried again waits for `retry_at` first."""

    position: int
    eta_s: float | None
    waiting_for: Literal["turn", "paused", "no_worker", "no_worker_with_memory", "quota"]


class EtaView(BaseModel):
    """When a job is expected to end, learned from how long others took."""

    p50_s: float = Field(description="Seconds that are enough at evens.")
    p90_s: float = Field(description="Seconds that are enough nine times in ten.")
    ends_at: str = Field(description="The moment that `p50_s` leads to.")


class ErrorView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    retryable: bool


class ResultView(BaseModel):
    """The picture that came out; `partial` if the job ended before its last step, `expired` if its files are gone."""

    width: int
    height: int
    bytes: int
    format: str
    partial: bool
    expired: bool


class JobView(BaseModel):
    """A job."""

    id: str
    owner: str
    state: State
    preset: str
    params: dict[str, Any]
    weights: dict[str, Any] | None = Field(
        description="Name and sha256 of the VGG19 weights; `reason` says why no better ones, where `auto` chose them."
    )
    content: str
    styles: list[StyleChoice]
    init_image: str | None
    priority: int
    label: str | None
    metadata: dict[str, Any]
    batch_id: str | None
    key: str | None = Field(description="Its name in its batch.")
    retry_of: str | None
    reused_from: str | None = Field(description="The earlier job whose picture it took over.")
    attempt: int
    retry_at: str | None
    start_by: str | None
    time_limit_s: float | None
    retention_s: float
    webhook: str | None
    worker: str | None
    progress: ProgressView | None
    queue: QueueView | None
    eta: EtaView | None = Field(description="Null once it has ended, and while nobody can say.")
    error: ErrorView | None
    result: ResultView | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    expires_at: str | None
    links: dict[str, str]


class SizeView(BaseModel):
    """A size in pixels."""

    width: int
    height: int


class EstimateView(BaseModel):
    """What painting is predicted to take on the fastest of the workers that can hold it."""

    seconds: float
    peak_bytes: int = Field(description="Most memory that the worker's process holds at once.")
    tile_size: int = Field(description="Side of the tiles at the last scale, in px; 0 where none are needed.")
    scales: list[SizeView] = Field(description="Sizes painted one after the other.")


class DryRunView(BaseModel):
    """A job as it would be queued, with every default filled in; nothing of it is kept."""

    preset: str
    params: dict[str, Any]
    weights: dict[str, Any] | None
    content: str
    styles: list[StyleChoice]
    init_image: str | None
    estimate: EstimateView | None = Field(description="Null while no worker has told what it can do.")


class JobPage(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None


class LossColumns(BaseModel):
    """Every step's losses, as columns of one length."""

    step: list[int]
    scale: list[int]
    total: list[float]
    content: list[float]
    style: list[float]
    tv: list[float]
    step_ms: list[float]


class ProblemView(BaseModel):
    """RFC 9457, with a stable `code`; `errors` point at each mistake."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]] | None = None
