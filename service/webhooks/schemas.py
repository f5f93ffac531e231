"""Request and response schemas of webhooks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from service.contract.parts import FieldError
from service.contract.webhooks import ENDS, DeliveryState, WebhookEvent, WebhookFormat
from service.database.tables.webhooks import Delivery, DeliveryAttempt, Webhook
from service.hooks.schemas import Description

_Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    Field(json_schema_extra={"format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]://[^\s\\]+$"}),
]
"""URL; the pattern is only for the OpenAPI document, `service.webhooks.targets` validates."""
_Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=len(WebhookEvent))]
_URL_TEXT = "https address that answers 2xx within 15 s; redirects are not followed"


class NewWebhook(BaseModel):
    """Webhook subscription to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"url": "https://example.com/dsnot", "events": ["job.succeeded", "job.failed"]}]},
    )

    url: _Url = Field(description=_URL_TEXT)
    events: _Events = Field(list(ENDS), description="subscribed events; by default the ends of jobs")
    format: WebhookFormat = Field(
        WebhookFormat.DSNOT,
        description="`dsnot`: CloudEvents; `slack`: a text for incoming webhooks of Slack, Mattermost and Rocket.Chat, and of "
        "Discord with `/slack` at the end of the URL. It cannot be changed later",
    )
    description: Description = ""


class WebhookChange(BaseModel):
    """Fields to change; omitted fields stay unchanged."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"events": ["job.failed"]}, {"enabled": False}]})

    url: _Url | None = Field(None, description=_URL_TEXT)
    events: _Events | None = None
    description: Description | None = None
    enabled: StrictBool | None = Field(None, description="false: send nothing; true: send events from now on")

    @model_validator(mode="before")
    @classmethod
    def _keeps_format(cls, body: Any) -> Any:
        if isinstance(body, dict) and "format" in body:
            raise FieldError("/format", "cannot be changed, because messages are repeated as first sent; create another webhook")
        return body


class WebhookView(BaseModel):
    """Webhook."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    url: str = Field(
        validation_alias=AliasChoices("shown_url", "url"),
        description="for `format` slack without its path, which authorises to post messages: `https://hooks.slack.com/…aB3d`",
    )
    format: WebhookFormat
    events: list[str]
    description: str
    enabled: bool
    disabled_at: datetime | None
    disabled_because: str | None
    old_secret_until: datetime | None = Field(description="until when messages are also signed with the previous secret")
    created_at: datetime


class WebhookWithSecret(WebhookView):
    """Webhook with its signing secret, which is returned only once."""

    secret: str = Field(description="Standard Webhooks: `whsec_…`")

    @classmethod
    def with_secret(cls, webhook: Webhook, secret: str) -> Self:
        """Return the view of a webhook with its secret."""
        return cls.model_validate({**WebhookView.model_validate(webhook).model_dump(), "secret": secret})


class WebhookPage(BaseModel):
    """All webhooks, oldest first."""

    items: list[WebhookView]
    next_cursor: None = None


class DeliveryAttemptView(BaseModel):
    """Delivery attempt."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    ended_at: datetime
    seconds: float
    status: int | None = Field(description="HTTP status of the response")
    error: str | None = Field(description="reason of the failure")


class DeliveryView(BaseModel):
    """Message and the state of its delivery."""

    id: UUID = Field(description="also the message's `webhook-id`, in every attempt")
    type: str = Field(examples=["job.succeeded"])
    job_id: UUID | None = Field(description="null for a message about a sweep, and for a test message")
    sweep_id: UUID | None
    state: DeliveryState
    created_at: datetime
    next_attempt_at: datetime | None = Field(description="set while the delivery is pending")
    finished_at: datetime | None
    attempts: list[DeliveryAttemptView]

    @classmethod
    def of(cls, delivery: Delivery, attempts: Sequence[DeliveryAttempt] = ()) -> Self:
        """Return the view of a delivery with its attempts."""
        is_pending = delivery.state == DeliveryState.PENDING
        return cls(
            id=delivery.id,
            type=delivery.type,
            job_id=delivery.job_id,
            sweep_id=delivery.sweep_id,
            state=DeliveryState(delivery.state),
            created_at=delivery.created_at,
            next_attempt_at=delivery.next_attempt_at if is_pending else None,
            finished_at=delivery.finished_at,
            attempts=[DeliveryAttemptView.model_validate(each) for each in attempts if each.delivery_id == delivery.id],
        )


class DeliveryDetail(DeliveryView):
    """Delivery with its message."""

    body: str | None = Field(
        description="message, byte for byte identical in every attempt; null until the first attempt. Responses are not stored"
    )

    @classmethod
    def of_delivery(cls, delivery: Delivery, attempts: Sequence[DeliveryAttempt]) -> Self:
        """Return the view of a delivery with its message."""
        return cls.model_validate({**DeliveryView.of(delivery, attempts).model_dump(), "body": delivery.body})


class DeliveryPage(BaseModel):
    """Page of deliveries, newest first."""

    items: list[DeliveryView]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last page")
