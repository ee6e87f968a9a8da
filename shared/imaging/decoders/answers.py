"""A child's answer, which is validated like any other foreign input: the child may be in a hostile picture's hands."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared import logs
from shared.errors import AtelierError, BlankImage, CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging.decoders.wire import Channel, ProtocolError

log = logs.get(__name__)

T = TypeVar("T")

#: What a child may say of a picture, by code.
_REFUSALS: dict[str, type[AtelierError]] = {
    kind.code: kind for kind in (ImageTooLarge, UnsupportedImage, CorruptImage, BlankImage)
}
#: Members of a problem document that no field of an error may replace.
_RESERVED = {"type", "title", "status", "detail", "code", "instance", "errors"}


def _is_own(name: str) -> str:
    if name in _RESERVED:
        raise ValueError("a reserved name")
    return name


_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_0-9]{0,39}$"), AfterValidator(_is_own)]
_Text = Annotated[str, StringConstraints(max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Note(BaseModel):
    """An event of the codec's log, and what it says."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, _Text] = Field(init=False)
    event: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]


class Answer(_Strict):
    """The head of an answer; its blobs are still to be received."""

    outcome: Literal["done", "refused", "returned"]
    value: dict[_Name, int | str | bool] = Field({}, max_length=16)
    code: _Text = ""
    detail: _Text = ""
    fields: dict[_Name, int | float | _Text] = Field({}, max_length=16)
    notes: list[_Note] = Field([], max_length=16)
    blobs: list[Annotated[int, Field(ge=0)]] = Field([], max_length=4)


def receive(channel: Channel, read: Callable[[Answer, Channel], T]) -> T | AtelierError | None:
    """Receive an answer: what `read` makes of it, a refusal, or None for a picture that the child handed back.

    Raises `ProtocolError` for an answer that no honest child gives, and what `Channel` raises.
    """
    try:
        answer = Answer.model_validate_json(channel.receive_head())
    except ValidationError as error:
        raise ProtocolError(f"{error.error_count()} mistakes in an answer") from None
    for note in answer.notes:
        log.info(note.event, **{f"{name}": value for name, value in (note.model_extra or {}).items()})
    if answer.outcome == "done":
        return read(answer, channel)
    if answer.outcome == "refused":
        kind = _REFUSALS.get(answer.code)
        if kind is None:
            raise ProtocolError("an unknown code")
        return kind(answer.detail, **answer.fields)
    return None


def read_blob(max_bytes: int) -> Callable[[Answer, Channel], bytes]:
    """Return a function that receives one blob of at most `max_bytes`."""

    def read(answer: Answer, channel: Channel) -> bytes:
        if len(answer.blobs) != 1 or answer.blobs[0] > max_bytes:
            raise ProtocolError(f"blobs of {answer.blobs} bytes")
        return channel.receive(answer.blobs[0])

    return read


def value_of(answer: Answer, name: str, kind: type[T]) -> T:
    """Return a value of exactly that type; raise `ProtocolError`."""
    value: Any = answer.value.get(name)
    if type(value) is not kind:
        raise ProtocolError(f"{name} is {value!r}")
    return value
