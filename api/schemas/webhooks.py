"""Webhooks: the events sent to them, and what their owner sees of the deliveries."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.links import Links
from shared.states import DeliveryState


class WebhookTestRequest(BaseModel):
    """A URL to test."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"url": "https://example.org/hook"}]})
    url: str = Field(max_length=2000, description="Where to send a `webhook.test` event.")


class SecretView(BaseModel):
    """The secret that signs events."""

    secret: str = Field(description="`whsec_` and Base64, as in Standard Webhooks.")
    created_at: str = Field(description="When it was created.")
    previous_until: str | None = Field(description="Until when the previous secret also signs; null if none does.")


class AttemptView(BaseModel):
    """An attempt at a delivery."""

    at: str = Field(description="When it ended.")
    status: int | None = Field(description="The HTTP status of the answer; null if there was none.")
    error: str | None = Field(
        description="Why there was no answer, or why it was not accepted; null if `status` says it all."
    )
    ms: int = Field(description="How long it took, in milliseconds.")


class DeliveryView(BaseModel):
    """An event to send to a webhook, and the attempts so far."""

    id: str
    owner: str
    url: str
    event: str = Field(description="Such as `job.succeeded`, `batch.finished` or `webhook.test`.")
    subject_id: str | None = Field(description="The job or batch that ended; null for a test.")
    state: DeliveryState
    attempts: int = Field(description="How many attempts there were.")
    next_at: str | None = Field(description="When the next attempt is due; null if there will be none.")
    log: list[AttemptView] = Field(description="The attempts, oldest first.")
    created_at: str
    ended_at: str | None
    links: Links


class DeliveryPage(BaseModel):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryView]
    next_cursor: str | None


class WebhookView(BaseModel):
    """The body of an event. `data` has the job's ID and state and, unless the job was deleted since, the rest."""

    type: str
    timestamp: str
    data: dict[str, Any]
