"""The priority of a job or batch, as requests give it; who may give which is checked by the use cases."""

from typing import Annotated

from pydantic import Field

from shared.priorities import MAX_PRIORITY, MIN_PRIORITY, OWN_PRIORITY

Priority = Annotated[
    int,
    Field(
        strict=True,
        ge=MIN_PRIORITY,
        le=MAX_PRIORITY,
        description=f"Of one owner's jobs, higher runs first. Above {OWN_PRIORITY}, which only operators may give, it "
        "goes before all owners' jobs.",
    ),
]
