"""How strongly the painting of an ended job shows."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
#: From 0, the photograph, to 1, as painted. A hundredth is less than anyone sees, and adding 0 turns -0 into 0.
Strength = Annotated[_Share, AfterValidator(lambda strength: round(strength, 2) + 0.0)]


class StrengthRequest(BaseModel):
    """How strongly a job's painting is to show."""

    model_config = ConfigDict(extra="forbid")
    strength: Strength = Field(description="From 0, the photograph, to 1, as painted; it is rounded to hundredths.")
