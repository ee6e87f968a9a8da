"""Batches, their items and their results."""

from collections.abc import Iterator
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

from api.schemas.jobs import ErrorView, ImageId, PaintingRequest, ResultView, Seconds, StyleChoice
from api.schemas.links import Links
from api.schemas.priority import Priority
from shared.errors import UnsafePath
from shared.painting.params import DEFAULT_PRESET
from shared.states import BatchState, State
from shared.texts import find_unprintable, printable

#: Longest item key, in characters.
MAX_KEY = 512
#: Largest matrix, in cells.
MAX_CELLS = 10_000


def _safe_path(key: str) -> str:
    """Require a relative path: a key becomes a file name when results are downloaded."""
    mistake = next((text for text, is_made in _mistakes(key, key.split("/")) if is_made), None)
    if mistake:
        raise ValueError(f"use a relative path such as 2030/harbour.jpg: this one {mistake}")
    return key


def _mistakes(key: str, parts: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield what can be wrong with a key, and whether it is."""
    yield "is not valid UTF-8", _has_surrogate(key)
    yield "has a control character, such as a tab or a line break", find_unprintable(key) is not None
    yield "has a backslash", "\\" in key
    yield "begins with a drive", parts[0][1:2] == ":"
    yield "has a part that is empty, . or ..", any(part.strip() in ("", ".", "..") for part in parts)
    yield "has a part that ends in a dot or a space", any(part != part.rstrip(" .") for part in parts)
    yield (
        "has a part of more than 255 bytes of UTF-8",
        any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts),
    )


def _has_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def check_key(key: str) -> None:
    """Raise `UnsafePath` for a name that cannot be an item's key."""
    try:
        _KEY.validate_python(key)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UnsafePath(f"{reason[:1].upper()}{reason[1:]}.") from None


def printable_key(key: object) -> str:
    """Return a key that may be anything as valid text of bounded length, to name it in a report."""
    return printable(str(key)[:MAX_KEY])[:MAX_KEY]


ItemKey = Annotated[
    str,
    Field(min_length=1, max_length=MAX_KEY, description="Its name in the batch, a relative path."),
    AfterValidator(_safe_path),
]


_KEY: TypeAdapter[str] = TypeAdapter(ItemKey)


class MatrixRequest(BaseModel):
    """Every content in every style with every combination of parameter values."""

    model_config = ConfigDict(extra="forbid")
    contents: list[ImageId] = Field(min_length=1, max_length=1000)
    styles: list[ImageId] = Field(min_length=1, max_length=1000, description="Each cell uses one of them.")
    params: dict[str, Annotated[list[JsonValue], Field(min_length=1, max_length=100)]] = Field(
        default_factory=dict, max_length=8, description="The values to try for each parameter."
    )


def cell_key(content: int, style: int, number: int | None) -> str:
    """Return the key of a cell, such as `c1-s2-p3`, for indexes from 0; `number` is None without values."""
    return f"c{content + 1}-s{style + 1}" + ("" if number is None else f"-p{number + 1}")


class BatchRequest(PaintingRequest):
    """A batch to open: the settings of all its items."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"style": f"sha256:{'1' * 64}", "preset": DEFAULT_PRESET}]}
    )
    matrix: MatrixRequest | None = Field(None, description="Instead of styles: creates the items and starts the batch.")
    priority: Priority = 0
    max_parallel: int | None = Field(
        None, strict=True, ge=1, le=2**31 - 1, description="Maximum items running at once; null: unlimited."
    )
    reuse: bool = Field(True, strict=True, description="Reuse identical earlier results.")
    time_limit_s: Seconds | None = Field(None, description="Longest time an item may run, in seconds.")
    retention_s: Seconds | None = Field(
        None, description="How long an item's files are kept after it ends, in seconds."
    )

    @model_validator(mode="after")
    def _one_way_to_name_styles(self) -> Self:
        if sum(given is not None for given in (self.style, self.styles, self.matrix)) != 1:
            raise ValueError("give exactly one of style, styles and matrix")
        return self

    def style_choices(self) -> list[StyleChoice]:
        """Return `style` or `styles` as a list; empty for a matrix, whose cells have their own."""
        return [] if self.matrix is not None else super().style_choices()


class BatchChange(BaseModel):
    """Changes to a batch; fields that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"max_parallel": 4}]})
    priority: Priority = 0
    max_parallel: int | None = Field(None, strict=True, ge=1, le=2**31 - 1, description="Null for unlimited.")


class ItemRequest(BaseModel):
    """An item to add to a batch."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"key": "harbour.jpg", "content": f"sha256:{'0' * 64}"}]}
    )
    key: ItemKey
    content: ImageId
    params: dict[str, JsonValue] = Field(default_factory=dict, description="Overrides of the batch's parameters.")
    styles: list[StyleChoice] | None = Field(
        None, min_length=1, max_length=16, description="Instead of the batch's styles; without masks."
    )


class ItemsRequest(BaseModel):
    """Items to add to a batch, or a location on the server to import pictures from."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"items": [{"key": "a.jpg", "content": f"sha256:{'0' * 64}"}]}]}
    )
    items: list[JsonValue] | None = Field(
        None, description="The items; a body that is this list itself works as well. Each is validated by itself."
    )
    source: str | None = Field(
        None, max_length=2000, description="`file:///folder` below an allowed root, or `storage:imports/…`."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.items is None) == (self.source is None):
            raise ValueError("give either items or source")
        return self


class PromoteRequest(BaseModel):
    """An item to paint again at its final size."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"key": "c1-s2", "size": 1024}]})
    key: ItemKey
    size: int = Field(0, strict=True, ge=0, le=16384, description="Long side in pixels; 0 for the content's own size.")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="Overrides of the item's other parameters.")


class ItemErrorView(BaseModel):
    """Why an item was rejected."""

    line: int = Field(description="Its position in the request, from 1.")
    key: str | None
    code: str
    detail: str


class AddedView(BaseModel):
    """How many items were added, and why others were not."""

    added: int
    existing: int = Field(description="Items that the batch already has, unchanged.")
    rejected: int
    skipped: int = Field(description="Files in an archive or folder that are not pictures.")
    unreadable: dict[str, int] = Field(
        description="Pictures in an archive or folder that cannot be read, counted by kind, such as `cr2`."
    )
    errors: list[ItemErrorView] = Field(description="The first thousand rejections.")
    links: Links


class CountsView(BaseModel):
    """The number of items in each state."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    canceled: int
    expired: int
    reused: int = Field(description="Succeeded items whose results were reused from earlier jobs.")


class BatchView(BaseModel):
    """A batch."""

    id: str
    owner: str
    state: BatchState
    preset: str
    params: dict[str, Any] = Field(description="Overrides of the preset's parameters.")
    weights: dict[str, Any] | None
    styles: list[StyleChoice]
    matrix: MatrixRequest | None
    depth: int
    keep_metadata: bool
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
    eta_s: float | None = Field(description="Seconds until it ends at this rate; null if unknown.")
    created_at: str
    started_at: str | None
    ended_at: str | None
    links: Links


class BatchPage(BaseModel):
    """A page of batches, newest first."""

    batches: list[BatchView]
    next_cursor: str | None


class RetriedView(BaseModel):
    """A batch, and how many of its items are retried."""

    retried: int
    batch: BatchView


class ItemResultView(BaseModel):
    """A line of the results feed."""

    number: int = Field(description="Its position in the feed; pass it as `after` to resume.")
    key: str
    job_id: str
    content: str
    state: State
    result: ResultView | None
    error: ErrorView | None
    ended_at: str | None
    links: Links


class OpenedView(BatchView):
    """A new batch, and the report on the archive that was sent with it, if any."""

    added: AddedView | None
