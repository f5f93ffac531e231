"""Facets of the search box, `model:`, `label:` and `preset:`, among free text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from service.contract.recipe.presets import PRESETS

_FACET: Final = re.compile(r'(?<!\S)(model|label|preset):(?:"((?:[^"\\]|\\.)*)(?:"|$)|(\S*))', re.IGNORECASE)
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass
class Facets:
    """Search text, split into its facets and the rest."""

    text: str = ""
    model_parts: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    label_names: list[str] = field(default_factory=list)
    presets: list[str] = field(default_factory=list)
    error: str = ""
    """Why a facet cannot be applied, and what to write instead."""


def facets_of(search: str) -> Facets:
    """Return the facets of a search text. A facet without a value, as while it is typed, is ignored."""
    found = Facets(" ".join(_FACET.sub(" ", search).split()))
    for name, value in _facets(search):
        if name == "model":
            found.model_parts.append(value)
        elif name == "label":
            _add_label(found, value)
        else:
            _add_preset(found, value)
    return found


def _facets(search: str) -> Iterator[tuple[str, str]]:
    for match in _FACET.finditer(search):
        name, quoted, plain = match.groups()
        value = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        if value:
            yield name.lower(), value


def _add_label(found: Facets, pair: str) -> None:
    name, _, value = pair.partition("=")
    if not name:
        found.error = f"label:{pair} has no name; write label:team, or label:team=search"
    elif not value:
        found.label_names.append(name)
    elif found.labels.get(name, value) != value:
        found.error = f"label:{name} has two values; a job has one, so that no job would match"
    else:
        found.labels[name] = value


def _add_preset(found: Facets, value: str) -> None:
    named = [preset for preset in PRESETS if preset.startswith(value.lower())]
    if not named:
        found.error = f"there is no preset {value!r}; use one of {', '.join(PRESETS)}"
    found.presets += named


def facet_text(name: str, value: str) -> str:
    """Return a facet as it is written in a search text."""
    if value and not re.search(r'[\s"\\]', value):
        return f"{name}:{value}"
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'{name}:"{escaped}"'
