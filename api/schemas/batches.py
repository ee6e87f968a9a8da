"""Batches as they come in and go out, as pydantic models: they validate, and OpenAPI is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from api.schemas.jobs import ErrorView, ImageId, Preset, ResultView, StyleChoice
from shared.errors import UnsafePath
from shared.painting.params import DEFAULT_PRESET, WeightsName
from shared.states import BatchState, State

#: Longest key of an item, in characters.
MAX_KEY = 512
#: Most cells of a matrix.
MAX_CELLS = 10_000


def _safe_path(key: str) -> str:
    """Let a key be a path below some folder and nothing else: it names files when results are fetched."""
    parts = key.split("/")
    plain = not any(ord(character) < 32 or ord(character) == 127 for character in key) and "\\" not in key
    drive = parts[0][1:2] == ":"
    if not plain or drive or any(part.strip() in ("", ".", "..") or part != part.rstrip(" .") for part in parts):
        raise ValueError("write a relative path such as 2030/harbour.jpg, without . and .. in it")
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts) or _has_surrogate(key):
        raise ValueError("write names of files, each of 255 bytes of UTF-8 at most")
    return key


def _has_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def check_key(key: str) -> None:
    """Raise `UnsafePath` for a name that can be no item's key."""
    try:
        _KEY.validate_python(key)
    except ValidationError as error:
        raise UnsafePath(error.errors()[0]["msg"]) from None


def printable_key(key: object) -> str:
    """Return a key that may be anything as valid text of bounded length, to name it in a report."""
    return str(key)[:MAX_KEY].encode("utf-8", "replace").decode()


ItemKey = Annotated[
    str,
    Field(min_length=1, max_length=MAX_KEY, description="Its name in the batch, like a relative path."),
    AfterValidator(_safe_path),
]


_KEY: TypeAdapter[str] = TypeAdapter(ItemKey)


class MatrixRequest(BaseModel):
    """Every content in every style with every combination of values, for choosing a look."""

    model_config = ConfigDict(extra="forbid")
    contents: list[ImageId] = Field(min_length=1, max_length=1000)
    styles: list[ImageId] = Field(min_length=1, max_length=1000, description="Each cell has one of them.")
    params: dict[str, Annotated[list[JsonValue], Field(min_length=1, max_length=100)]] = Field(
        default_factory=dict, max_length=8, description="Values to try of each of these parameters."
    )


def cell_key(content: int, style: int, number: int | None) -> str:
    """Name a cell of a matrix by its places, from 0: `c1-s2-p3`; without a number where no values are tried."""
    return f"c{content + 1}-s{style + 1}" + ("" if number is None else f"-p{number + 1}")


class BatchRequest(BaseModel):
    """What holds for all items."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"style": f"sha256:{'1' * 64}", "preset": DEFAULT_PRESET}]}
    )
    style: ImageId | None = Field(None, description="The one style image; or use `styles`.")
    styles: list[StyleChoice] | None = Field(None, min_length=1, max_length=16, description="Several, blended.")
    matrix: MatrixRequest | None = Field(None, description="Makes the items too, in the place of styles, and starts.")
    preset: Preset = Field(Preset(DEFAULT_PRESET), description="The named set of parameters to start from.")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="What departs from the preset.")
    weights: WeightsName | None = Field(
        None, description="VGG19 weights to insist on; `auto` and null take the worker's."
    )
    priority: int = Field(
        0, strict=True, ge=-100, le=100, description="Higher goes first; other jobs pass batches of their own."
    )
    max_parallel: int | None = Field(
        None, strict=True, ge=1, le=2**31 - 1, description="Most items painted at once; null: all."
    )
    reuse: bool = Field(True, description="Take over pictures that were painted before in just this way.")
    time_limit_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Longest time an item may run, in seconds."
    )
    webhook: str | None = Field(None, max_length=2000, description="Where its end is told; see `/v1/webhooks`.")
    retention_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="How long an item's files stay once it has ended, in seconds."
    )
    label: str | None = Field(None, max_length=200, description="For finding it again.")
    metadata: dict[str, JsonValue] = Field(default_factory=dict, max_length=64, description="Kept as it is.")

    @model_validator(mode="after")
    def _one_way_to_name_styles(self) -> Self:
        if sum(given is not None for given in (self.style, self.styles, self.matrix)) != 1:
            raise ValueError("give one of style, styles and matrix")
        return self

    def style_choices(self) -> list[StyleChoice]:
        """Return the styles, however they were named; none for a matrix, whose cells have their own."""
        if self.matrix is not None:
            return []
        return self.styles or [StyleChoice(image=str(self.style))]

    def weights_wanted(self) -> str | None:
        """Return the weights to insist on; None takes the worker's."""
        return None if self.weights == "auto" else self.weights


class BatchChange(BaseModel):
    """What may be changed while it runs; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"max_parallel": 4}]})
    priority: int = Field(0, strict=True, ge=-100, le=100)
    max_parallel: int | None = Field(None, strict=True, ge=1, le=2**31 - 1, description="Null is no limit.")


class ItemRequest(BaseModel):
    """One picture of a batch."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"key": "harbour.jpg", "content": f"sha256:{'0' * 64}"}]}
    )
    key: ItemKey
    content: ImageId
    params: dict[str, JsonValue] = Field(default_factory=dict, description="What departs from the batch's.")
    styles: list[StyleChoice] | None = Field(
        None, min_length=1, max_length=16, description="In the place of the batch's; not with masks there."
    )


class SourceRequest(BaseModel):
    """Where on the server pictures are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"source": "storage:imports/harbours"}]})
    source: str = Field(max_length=2000, description="`file:///folder` below an allowed root, or `storage:imports/…`.")


class PromoteRequest(BaseModel):
    """One item to be painted for good."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "c1-s2", "size": 1024}]})
    key: ItemKey
    size: int = Field(0, strict=True, ge=0, le=16384, description="Long side in pixels; 0 is the content's own.")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="What departs from the item's, besides.")


class ItemErrorView(BaseModel):
    """Why an item was not taken."""

    line: int = Field(description="Its place in what was sent, from 1.")
    key: str | None
    code: str
    detail: str


class AddedView(BaseModel):
    """What became of the items that were sent."""

    added: int
    existing: int = Field(description="Those that are in the batch already, just so.")
    rejected: int
    skipped: int = Field(description="Files that an archive or folder has besides pictures.")
    errors: list[ItemErrorView] = Field(description="Of those rejected, the first thousand.")
    links: dict[str, str]


class CountsView(BaseModel):
    """How many items are in each state."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int
    expired: int
    reused: int = Field(description="Of those that succeeded, the ones taken over from earlier jobs.")


class BatchView(BaseModel):
    """A batch."""

    id: str
    owner: str
    state: BatchState
    preset: str
    params: dict[str, Any] = Field(description="What departs from the preset.")
    weights: dict[str, Any] | None
    styles: list[StyleChoice]
    matrix: MatrixRequest | None
    priority: int
    max_parallel: int | None
    reuse: bool
    label: str | None
    metadata: dict[str, Any]
    webhook: str | None
    time_limit_s: float | None
    retention_s: float
    counts: CountsView
    rate_per_min: float | None = Field(description="Items that ended in the last minute; null unless it is running.")
    eta_s: float | None = Field(description="When it ends at this rate, in seconds; null while nobody can say.")
    created_at: str
    started_at: str | None
    ended_at: str | None
    links: dict[str, str]


class BatchPage(BaseModel):
    """A page of batches, newest first."""

    batches: list[BatchView]
    next_cursor: str | None


class RetriedView(BaseModel):
    """A batch, and how many of its items are tried again."""

    retried: int
    batch: BatchView


class ItemResultView(BaseModel):
    """A line of the feed of results."""

    number: int = Field(description="Its place in the feed; `after` goes on behind it.")
    key: str
    job_id: str
    state: State
    result: ResultView | None
    error: ErrorView | None
    ended_at: str | None
    links: dict[str, str]


class OpenedView(BatchView):
    """A batch that was opened; with what became of the archive's pictures, if one came with it."""

    added: AddedView | None
