"""What is said about the outputs of a job, beside the job itself."""

from pydantic import BaseModel, ConfigDict, Field


class StrengthRequest(BaseModel):
    """How strongly a job's painting is to show."""

    model_config = ConfigDict(extra="forbid")
    strength: float = Field(ge=0, le=1, allow_inf_nan=False, description="From 0, the photograph, to 1, as painted.")


class LossColumns(BaseModel):
    """The losses of every step, as columns of equal length."""

    step: list[int]
    scale: list[int]
    total: list[float]
    content: list[float]
    style: list[float]
    tv: list[float]
    step_ms: list[float]
