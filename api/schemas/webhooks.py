"""Webhooks, as pydantic models: what they are sent, and what their owner sees of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.states import DeliveryState


class WebhookTestRequest(BaseModel):
    """An address to try out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"url": "https://example.org/hook"}]})
    url: str = Field(max_length=2000, description="Where to send an event `webhook.test`.")


class SecretView(BaseModel):
    """What calls are signed with."""

    secret: str = Field(description="`whsec_` and Base64, as Standard Webhooks has it.")
    created_at: str = Field(description="Since when it signs.")
    previous_until: str | None = Field(description="Until when the secret before signs along; null if none does.")


class AttemptView(BaseModel):
    """One try of a delivery."""

    at: str
    status: int | None
    error: str | None
    ms: int


class DeliveryView(BaseModel):
    """An event that is told to a webhook, and how that went."""

    id: str
    owner: str
    url: str
    event: str
    subject_id: str | None = Field(description="The job it is about; null for a test.")
    state: DeliveryState
    attempts: int
    next_at: str | None
    log: list[AttemptView]
    created_at: str
    ended_at: str | None
    links: dict[str, str]


class DeliveryPage(BaseModel):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryView]
    next_cursor: str | None


class WebhookView(BaseModel):
    """The body of a call. `data` of a job's event has its id, state and, unless it is deleted by then, the rest."""

    type: str
    timestamp: str
    data: dict[str, Any]
