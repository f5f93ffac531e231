"""CloudEvents 1.0 over HTTP (HTTP protocol binding 1.0.2): structured and binary mode, JSON data.

Parsed here because the `cloudevents` library accepts unknown versions as 1.0 and adds two dependencies; tests compare the two.
"""

import re
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from service.contract.triggers import EventKind
from service.errors import UnsupportedMediaType
from service.triggers.events.event import Event, Message, wrong

_PREFIX: Final = "ce-"
_STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_ATTRIBUTES: Final = {"specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time"}
_DATA: Final = {"data", "data_base64"}
_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_ESCAPED: Final = re.compile(r"\\(.)")


def recognises(message: Message) -> bool:
    """Return whether the message is a CloudEvent."""
    content = message.content
    is_structured = isinstance(content, dict) and content.keys() >= {"specversion", "id", "source", "type"}
    return _media_type(message) in (_STRUCTURED, _BATCH) or f"{_PREFIX}specversion" in message.headers or is_structured


def read(message: Message) -> Event:
    """Return the event of a CloudEvent. Raise InvalidInput, UnsupportedMediaType."""
    if _media_type(message) == _BATCH:
        raise UnsupportedMediaType("send one CloudEvent in each request, not a batch")
    if _media_type(message) != _STRUCTURED and f"{_PREFIX}specversion" in message.headers:
        return _binary(message)
    return _structured(message)


def _structured(message: Message) -> Event:
    content = message.content
    if not isinstance(content, dict):
        raise wrong("", f"must be a CloudEvent, a JSON object as {_STRUCTURED}, or data with ce-* headers")
    if "data_base64" in content:
        raise UnsupportedMediaType("the CloudEvent's data must be JSON, not data_base64")
    attributes = {name: value for name, value in content.items() if name not in _DATA}
    return _event(attributes, content.get("data"), "/")


def _binary(message: Message) -> Event:
    attributes: dict[str, Any] = {
        name.removeprefix(_PREFIX): _decoded(name, value) for name, value in message.headers.items() if name.startswith(_PREFIX)
    }
    return _event(attributes, message.content, _PREFIX)


def _decoded(name: str, value: str) -> str:
    """Return a header's text: unquoted, then percent-decoded once."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise wrong(name, "must be percent-encoded UTF-8") from None


def _event(attributes: dict[str, Any], data: Any, at: str) -> Event:
    given = {name: value for name, value in attributes.items() if value is not None}
    if given.get("specversion") != "1.0":
        raise wrong(f"{at}specversion", "must be 1.0")
    for name in ("id", "source", "type"):
        if name not in given:
            raise wrong(f"{at}{name}", "is required")
    for name in sorted(_ATTRIBUTES & given.keys()):
        if not isinstance(given[name], str) or not given[name]:
            raise wrong(f"{at}{name}", "must be a non-empty string")
    if any(character.isspace() for character in given["source"]):
        raise wrong(f"{at}source", "must be a URI reference without white space")
    _check_time(given.get("time"), f"{at}time")
    _check_json(given.get("datacontenttype"))
    return Event(
        kind=EventKind.CLOUDEVENTS,
        id=f"{given['source']} {given['id']}",
        source=given["source"],
        type=given["type"],
        time=given.get("time"),
        subject=given.get("subject"),
        extensions=_extensions(given, at),
        data=data,
    )


def _check_time(time: str | None, at: str) -> None:
    try:
        is_moment = time is None or datetime.fromisoformat(time).tzinfo is not None
    except ValueError:
        is_moment = False
    if not is_moment:
        raise wrong(at, "must be a timestamp such as 2026-01-31T12:00:00Z")


def _check_json(media_type: str | None) -> None:
    kind = (media_type or "application/json").partition(";")[0].strip().lower()
    if not kind.endswith(("/json", "+json")):
        raise UnsupportedMediaType("the CloudEvent's data must be JSON: datacontenttype application/json")


def _extensions(given: dict[str, Any], at: str) -> dict[str, Any]:
    found = {name: value for name, value in given.items() if name not in _ATTRIBUTES}
    for name, value in found.items():
        if not _NAME.fullmatch(name) or not isinstance(value, str | int | bool):
            raise wrong(f"{at}{name}", "is not a CloudEvents attribute: use lower-case letters and digits, and a scalar value")
    return found


def _media_type(message: Message) -> str:
    return message.headers.get("content-type", "").partition(";")[0].strip().lower()
