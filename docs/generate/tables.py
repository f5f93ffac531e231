"""Markdown tables with fields of JSON schemas as rows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, or nothing if it has no rows."""
    lines = [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, ""]) if lines else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def field_row(name: str, schema: Mapping[str, Any], *, is_required: bool = False) -> tuple[str, str, str]:
    """Return name, type and description of a field, with its bounds and its default."""
    facts = [str(schema.get("description", ""))]
    options = [schema, *schema.get("anyOf", ())]
    facts += [text.format(each[bound]) for bound, text in _BOUNDS.items() for each in options if bound in each]
    if is_required:
        facts.append("required")
    elif schema.get("default") is not None:
        facts.append(f"default `{json.dumps(schema['default'])}`")
    return f"`{name}`", type_of(schema), "; ".join(fact for fact in facts if fact)


def type_of(schema: Mapping[str, Any]) -> str:
    """Return the type of a JSON schema in Markdown, with a link to a referenced schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(type_of(each) for each in schema[several])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {type_of(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)
