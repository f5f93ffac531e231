"""The filter of the audit log, as its form sends it: what cannot be understood is said beside the field and kept there."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Depends, Query

from service.tenants.audit.repository import EntryFilter

_Text = Annotated[str, Query(max_length=128)]
_KEY_ID: Final = re.compile(r"[a-z0-9]{12}")
_ACTION: Final = re.compile(r"[a-z_]{1,64}")


@dataclass(frozen=True)
class AskedEntries:
    """What the form holds, by the names of the API's parameters, and what is wrong with it."""

    typed: dict[str, str]
    wanted: EntryFilter
    """Without what was not understood."""
    errors: dict[str, str] = field(default_factory=dict)
    """By the name of the field."""

    @property
    def is_empty(self) -> bool:
        return not any(self.typed.values())

    def query(self, **more: str) -> str:
        """The same filter in an address."""
        pairs = {name: text for name, text in (self.typed | more).items() if text}
        return f"?{urlencode(pairs)}" if pairs else ""


async def _asked(key_id: _Text = "", action: _Text = "", created_after: _Text = "", created_before: _Text = "") -> AskedEntries:
    typed = {"key_id": key_id, "action": action, "created_after": created_after, "created_before": created_before}
    typed = {name: text.strip() for name, text in typed.items()}
    errors = {}
    if typed["key_id"] and not _KEY_ID.fullmatch(typed["key_id"]):
        errors["key_id"] = "write a key’s id: twelve small letters and digits, as the page Keys shows them"
    if typed["action"] and not _ACTION.fullmatch(typed["action"]):
        errors["action"] = "write an operation’s name, such as `cancel_job`"
    moments = {name: _moment(typed[name]) for name in ("created_after", "created_before")}
    for name, moment in moments.items():
        if typed[name] and moment is None:
            errors[name] = "write a moment, such as 2026-01-31T12:00; without a time zone it is UTC"
    after, before = moments["created_after"], moments["created_before"]
    if after and before and after >= before:
        errors["created_before"] = "must be later than the moment after which entries are wanted"
    known = {name: text or None for name, text in typed.items() if name not in errors}
    wanted = EntryFilter(known.get("key_id"), known.get("action"), after, None if "created_before" in errors else before)
    return AskedEntries(typed, wanted, errors)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


Asked = Annotated[AskedEntries, Depends(_asked)]
