"""What a retry of jobs that have ended changes; everything else stays as it was."""

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.jobs import Seconds, Timestamp
from api.schemas.metadata import Metadata
from api.schemas.priority import Priority

_LIMIT = "Longest time it may run, in seconds; null for the server's limit."


class RetryRequest(BaseModel):
    """Changes to a job that is retried; fields that are left out stay as they were."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"time_limit_s": 600}]})
    priority: Priority = 0
    start_by: Timestamp | None = Field(None, description="It expires unless it has started by then.")
    time_limit_s: Seconds | None = Field(None, description=_LIMIT)
    retention_s: Seconds | None = Field(
        None, description="How long its files are kept after it ends, in seconds; null for the server's limit."
    )
    webhook: str | None = Field(None, max_length=2000, description="URL to notify when it ends; null for none.")
    metadata: Metadata = Field(default_factory=dict)


class RetryFailedRequest(BaseModel):
    """Changes to the items of a batch that are retried; fields that are left out stay as they were."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"time_limit_s": 600}]})
    time_limit_s: Seconds | None = Field(None, description=_LIMIT)
