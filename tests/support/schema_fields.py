"""Every field that the OpenAPI document describes, and bad values for each."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker

Step = str | int

VALUES: Final[dict[str, str]] = {
    "null": "null",
    "true": "true",
    "a whole number": "7",
    "a fraction": "1.5",
    "a text": '"text"',
    "a list": '["text", 7]',
    "an object": '{"text": 7}',
    "an empty text": '""',
    "an empty list": "[]",
    "an empty object": "{}",
    "a huge number": "1" + "0" * 30,
    "a huge fraction": "1e308",
    "a negative number": "-1",
    "a hugely negative number": "-1" + "0" * 30,
    "a huge text": json.dumps("x" * 20_000),
    "a long list": json.dumps(list(range(5000))),
    "control characters": json.dumps("a\x07\x1b[31m\x7fb"),
    "a line break": json.dumps("a\r\nb: c"),
    "right-to-left text": json.dumps("a\u202e\u2067gpj.exe"),
    "another script": json.dumps("مرحبا"),
    "deep nesting": "[" * 20 + "]" * 20,
    "only spaces": '"   "',
}
"""JSON that is fine, but not in every place."""
MALFORMED: Final[dict[str, str]] = {
    "NaN": "NaN",
    "minus infinity": "-Infinity",
    "an endless number": "9" * 5000,
    "nesting without end": "[" * 2000 + "]" * 2000,
    "duplicate keys": '{"a": 1, "a": 2}',
    "a bare word": "text",
}
"""What no body may hold anywhere."""
REFUSED: Final[dict[str, str]] = {"beyond all numbers": "1e999", "NUL": r'"a\u0000b"', "a lone surrogate": r'"\ud800"'}
"""JSON that fits nowhere."""
TEXTS: Final = (
    *("", " ", "text", "7", "-1", "1.5", "1e999", "NaN", "1" + "0" * 30, "null", "true", "[]", "{}", "x" * 5000),
    *("+0.0", "2.0", "1_0", " 3", "on", "yes"),
    *("a\x07b", "a\r\nb", "a\u202eb", "مرحبا", "%", "a\0b", "2026-13-45T99:00:00Z", "../../etc/passwd", "' OR 1=1 --"),
)
"""Values of query parameters."""


@dataclass(frozen=True)
class Field:
    """A place in a body, and what else the body must hold for the place to be there."""

    path: tuple[Step, ...]
    schema: Mapping[str, Any]
    around: tuple[tuple[tuple[Step, ...], Any], ...] = ()


class Document:
    """An OpenAPI document whose schemas can be walked."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.operations = [
            (method, path, operation) for path, methods in document["paths"].items() for method, operation in methods.items()
        ]
        self._components = document["components"]
        self._formats = FormatChecker(formats=())
        self._formats.checks("date-time")(_is_moment)

    def allows(self, schema: Mapping[str, Any]) -> Callable[[Any], bool]:
        """Whether the document allows a value in the place of this schema."""
        is_valid: Callable[[Any], bool] = Draft202012Validator(
            {**schema, "components": self._components}, format_checker=self._formats
        ).is_valid
        return is_valid

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._components["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def fields(self, schema: Mapping[str, Any], field: Field) -> Iterator[Field]:
        """Every field below `field`, whose schema this is; of what may be one or the other, both."""
        schema = self.resolved(schema)
        for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self.fields(option, field)
        below: dict[Step, Any] = dict(schema.get("properties", {}))
        for named in schema.get("patternProperties", {}).values():
            below["text"] = named
        if "items" in schema:
            below[0] = schema["items"]
        around = (*field.around, (field.path, self._sample(schema)))
        for step, inner in below.items():
            found = Field((*field.path, step), inner, around)
            yield found
            yield from self.fields(inner, found)

    def _sample(self, schema: Mapping[str, Any]) -> Any:
        """The least that is legal, as far as the schemas of this service need it."""
        schema = self.resolved(schema)
        for name in ("const", "default"):
            if name in schema:
                return schema[name]
        if "examples" in schema:
            return schema["examples"][0]
        if schema.get("type") == "array":
            return []
        if schema.get("type") == "object":
            wanted = schema.get("properties", {})
            needed = {name for name, each in wanted.items() if "const" in each} | set(schema.get("required", ()))
            return {name: self._sample(wanted[name]) for name in sorted(needed & set(wanted))}
        return schema.get("minimum", schema.get("enum", ["text"])[0])


def body_with(example: Any, field: Field, value: str) -> str:
    """The text of a body that has the JSON text `value` in the place of the field."""
    body = json.loads(json.dumps(example))
    for path, sample in field.around:
        body = _put(body, path, sample, keep=True)
    return json.dumps(_put(body, field.path, "@here@", keep=False)).replace('"@here@"', value)


def _put(body: Any, path: tuple[Step, ...], value: Any, *, keep: bool) -> Any:
    if not path:
        return {**value, **body} if keep and isinstance(body, dict) and isinstance(value, dict) else body if keep else value
    step, *rest = path
    if isinstance(step, int):
        there = body[step] if isinstance(body, list) and len(body) > step else None
        return [value if keep and not rest and not _agrees(there, value) else _put(there, tuple(rest), value, keep=keep)]
    members = dict(body) if isinstance(body, dict) else {}
    if keep and not rest and not _agrees(members.get(step), value):
        return {**members, step: value}
    return {**members, step: _put(members.get(step), tuple(rest), value, keep=keep)}


def _agrees(there: Any, wanted: Any) -> bool:
    """Whether what is there can stay: an object that is of the wanted kind."""
    if not isinstance(there, dict) or not isinstance(wanted, dict):
        return False
    return all(there.get(name) == wanted.get(name) for name in ("type", "method") if name in there or name in wanted)


def _is_moment(value: object) -> bool:
    try:
        return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
