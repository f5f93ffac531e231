"""Page of the JSON files of an artifact, and their JSON Schemas."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docs.generate.tables import field_row, table, type_of
from service.contract.artifact_files import FILES

_HEAD = """\
# JSON files of an artifact

Generated from the models that the worker writes; [publish](../guides/publish.md#files-of-an-artifact) lists all files.

Every file has `schema_version`, an integer.
An addition keeps it, so programs ignore fields that they do not know.
A removal, a new name or another meaning raises it, so programs refuse a version that they do not know.
Files without it are from before the field and count as version 1.
Then `sparsity_report.json` lacks `block` and `kind`, and `recipe.json` of a local model has no revision.

Times are in seconds, sizes in bytes, shares from 0 to 1.
Errors are relative, ‖(W − W')X‖² / ‖WX‖² over the calibration tokens X.
Numbers that are not finite are null.

`config.json`, `generation_config.json`, tokenizer files and `model.safetensors.index.json` are those of transformers.
Packed files and masks have a version in their first bytes ([packed format](packed-format.md#file-layout)).
`model.sig` is a Sigstore bundle.
"""


def page() -> str:
    """Return the page in Markdown."""
    parts = [_HEAD]
    shown = dict[str, Any]()
    for name, model in FILES.items():
        schema = model.model_json_schema()
        shown |= schema.pop("$defs", {})
        parts += [
            f"## `{name}`\n",
            f"{schema['description']}\n",
            f"JSON Schema: [{schema_name(name)}](schemas/{schema_name(name)}).\n",
        ]
        parts += _fields(schema)
    parts.append("## Parts\n")
    for name, schema in sorted(shown.items()):
        parts += [f"### {name}\n", f"{schema.get('description', '')}\n", *_fields(schema)]
    return "\n".join(parts)


def schemas() -> dict[str, str]:
    """Return the JSON Schemas by the name of their file."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {schema_name(name): f"{json.dumps(dialect | model.model_json_schema(), indent=2)}\n" for name, model in FILES.items()}


def schema_name(name: str) -> str:
    """Return the name of a file's schema."""
    return name.replace(".json", ".schema.json")


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    if "properties" not in schema:
        yield f"{type_of(schema)}\n"
        return
    required = schema.get("required", ())
    rows = [field_row(field, each, is_required=field in required) for field, each in schema["properties"].items()]
    yield table(["field", "type", "description"], rows)
