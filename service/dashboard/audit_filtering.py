"""Filter of the audit log, parsed from its form; invalid fields keep their input and an error."""

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
class AuditFilterForm:
    """Parsed filter form of the audit log: input by API parameter name, filter, and errors."""

    typed: dict[str, str]
    wanted: EntryFilter
    """The filter without invalid fields."""
    errors: dict[str, str] = field(default_factory=dict)
    """Error messages by field name."""

    @property
    def is_empty(self) -> bool:
        """Whether no field is filled in."""
        return not any(self.typed.values())

    def query(self, **more: str) -> str:
        """Return the query string of this filter, with `more` parameters."""
        pairs = {name: text for name, text in (self.typed | more).items() if text}
        return f"?{urlencode(pairs)}" if pairs else ""


async def _asked(
    key_id: _Text = "", action: _Text = "", created_after: _Text = "", created_before: _Text = "", plans: _Text = ""
) -> AuditFilterForm:
    typed = {"key_id": key_id, "action": action, "created_after": created_after, "created_before": created_before, "plans": plans}
    typed = {name: text.strip() for name, text in typed.items()}
    errors = {}
    if typed["key_id"] and not _KEY_ID.fullmatch(typed["key_id"]):
        errors["key_id"] = "enter a key’s id: 12 lower-case letters and digits, as on the page Keys"
    if typed["action"] and not _ACTION.fullmatch(typed["action"]):
        errors["action"] = "enter an operation’s name, such as `cancel_job`"
    moments = {name: _moment(typed[name]) for name in ("created_after", "created_before")}
    for name, moment in moments.items():
        if typed[name] and moment is None:
            errors[name] = "enter a date and time, such as 2026-01-31T12:00; UTC without a time zone"
    after, before = moments["created_after"], moments["created_before"]
    if after and before and after >= before:
        errors["created_before"] = "must be later than “After (UTC)”"
    known = {name: text or None for name, text in typed.items() if name not in errors}
    before = None if "created_before" in errors else before
    wanted = EntryFilter(known.get("key_id"), known.get("action"), after, before, with_plans=bool(known.get("plans")))
    return AuditFilterForm(typed, wanted, errors)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


AskedEntries = Annotated[AuditFilterForm, Depends(_asked)]
