"""Settings page, from the pydantic settings and the docstrings below their fields."""

from typing import Any

from pydantic.fields import FieldInfo

from docs.generate.tables import table
from service.settings import HomeSettings, Settings, variable_of

_HEAD = """\
# Settings

Generated from `service/settings.py`.
Service, dispatcher and worker read these environment variables when they start.
A missing or malformed one ends the process with a sentence that names it.
`dsnot up` sets what the embedded stack needs.

Not in this table:

- `DSNOT_URL` and `DSNOT_API_KEY`, read by the Python client and the `dsnot` command;
- `HF_TOKEN`, `HF_HOME` and `HF_ENDPOINT` of the Hugging Face Hub;
- the credentials of [object storage](../guides/object-storage.md);
- `OTEL_…` for [traces](../operate/metrics.md#traces).
"""


def page() -> str:
    """Return the page in Markdown."""
    rows = [row for each in (Settings, HomeSettings) for row in _rows(each)]
    return f"{_HEAD}\n{table(['variable', 'default', 'meaning'], rows)}"


def _rows(settings: type[Any]) -> list[tuple[str, str, str]]:
    fields = settings.model_fields.items()
    return [(f"`{variable_of(name)}`", _default(field), field.description or "") for name, field in fields]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "the user's data directory; `/var/lib/dsnot` for root"
    return "unset" if field.default is None else f"`{field.default}`"
