"""What is said about the outputs of a job, beside the job itself."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _in_hundredths(strength: float) -> float:
    return round(strength, 2) + 0.0  # a hundredth is less than anyone sees, and adding 0 turns -0 into 0


_BOUNDS: Any = {"ge": 0, "le": 1, "allow_inf_nan": False}
#: From 0, the photograph, to 1, as painted; in a query, where numbers are text.
Strength = Annotated[float, Field(**_BOUNDS), AfterValidator(_in_hundredths)]
#: The same in JSON, which has numbers.
JsonStrength = Annotated[float, Field(strict=True, **_BOUNDS), AfterValidator(_in_hundredths)]


class StrengthRequest(BaseModel):
    """How strongly a job's painting is to show."""

    model_config = ConfigDict(extra="forbid")
    strength: JsonStrength = Field(description="From 0, the photograph, to 1, as painted; it is rounded to hundredths.")


class EventsTokenView(BaseModel):
    """A token that opens the events of one job, for clients that cannot send a key."""

    token: str
    expires_at: str = Field(description="The last moment at which it opens a stream; an open one stays open.")
    url: str = Field(description="The absolute URL of the events, with the token.")


class LossColumns(BaseModel):
    """The losses of every step, as columns of equal length."""

    step: list[int]
    scale: list[int]
    total: list[float]
    content: list[float]
    style: list[float]
    tv: list[float]
    step_ms: list[float]
