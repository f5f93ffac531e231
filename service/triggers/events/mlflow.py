"""Webhooks of MLflow's model registry: https://mlflow.org/docs/latest/ml/webhooks."""

from typing import Any, Final

from service.contract.triggers import EventKind
from service.triggers.events.event import Event, Message, wrong
from service.triggers.events.plain import digest

DELIVERY_ID: Final = "x-mlflow-delivery-id"


def recognises(message: Message) -> bool:
    """Return whether the message is an MLflow webhook."""
    content = message.content
    is_shaped = isinstance(content, dict) and content.keys() >= {"entity", "action", "timestamp", "data"}
    return DELIVERY_ID in message.headers or is_shaped


def read(message: Message) -> Event:
    """Return the event of an MLflow webhook. Raise InvalidInput."""
    entity, action, time = message.text("entity"), message.text("action"), message.text("timestamp")
    data: Any = message.content.get("data")
    if not isinstance(data, dict):
        raise wrong("/data", "must be an object")
    workspace, name = message.content.get("workspace"), data.get("name")
    return Event(
        kind=EventKind.MLFLOW,
        id=message.headers.get(DELIVERY_ID) or digest(message.content),
        source=f"mlflow {workspace}" if isinstance(workspace, str) else "mlflow",
        type=f"{entity}.{action}",
        time=time,
        subject=name if isinstance(name, str) else None,
        data=data,
    )
