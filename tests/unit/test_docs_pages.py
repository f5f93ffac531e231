"""The README and the documentation's pages agree with the tree and with the code."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from docs.generate import api, cli, errors, recipes, settings
from docs.generate.__main__ import PAGES
from service.contract.explanations import EXPLANATIONS
from service.contract.failures import FailureCode
from service.contract.recipe.presets import PRESETS
from service.contract.states import TRANSITIONS
from service.contract.sweeps import SweepSpec
from service.contract.webhooks import WebhookEvent
from service.dashboard import help_site
from service.dashboard.error_page import error_entries
from service.settings import Settings
from service.sweeps.operations import expanded
from service.triggers import templates
from service.triggers.schemas import NewTrigger

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = {f"reference/{name}" for name in PAGES}
WRITTEN = [path for path in sorted(DOCS.rglob("*.md")) if path.relative_to(DOCS).as_posix() not in GENERATED]
OWN = [*sorted(ROOT.glob("*.md")), *WRITTEN]
_PATH = re.compile(r"`((?:service|worker|migrations|benchmarks|tests|docs|docker)/[\w./*-]*)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_the_readme_is_short() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    assert len(readme.encode()) <= 9 * 1024


@pytest.mark.parametrize("page", OWN, ids=name_of)
def test_every_path_and_link_of_a_page_resolves(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for path in _PATH.findall(text):
        assert any(ROOT.glob(path.rstrip("/"))) or path == "service/help_site", path
    for link in _LINK.findall(text):
        target = (page.parent / link).resolve()
        is_generated = target.is_relative_to(DOCS) and target.relative_to(DOCS).as_posix() in GENERATED
        assert target.exists() or is_generated, link


def test_the_navigation_has_every_page_once() -> None:
    def pages(entries: Any) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        return [page for each in (entries.values() if isinstance(entries, dict) else entries) for page in pages(each)]

    found = pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    assert sorted(found) == sorted(GENERATED | {path.relative_to(DOCS).as_posix() for path in WRITTEN})


def test_the_site_is_built_where_the_service_looks_for_it() -> None:
    assert ROOT / tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["site_dir"] == help_site.FOLDER


def test_the_state_diagram_shows_exactly_the_transitions() -> None:
    drawn = re.findall(r"^  (\w+) --> (\w+)", (DOCS / "explain" / "architecture.md").read_text(), re.MULTILINE)
    states = {str(state) for state in TRANSITIONS}
    allowed = {(str(source), str(target)) for source, targets in TRANSITIONS.items() for target in targets}
    assert {edge for edge in drawn if edge[0] in states} == allowed


def test_every_error_has_a_section_and_each_explanation_an_error() -> None:
    page, codes = errors.page(), [entry.code for entry in error_entries()]
    assert sorted(EXPLANATIONS) == sorted(codes)
    assert [code for code in codes if f"\n## `{code}` {{: #{code} }}\n" not in page] == []
    assert len(codes) > len(FailureCode) > 15


def test_generated_pages_are_complete() -> None:
    page, document = api.page(), api.document()
    calls = [f"`{method.upper()} {path}`" for path, operations in document["paths"].items() for method in operations]
    assert [call for call in calls if call not in page] == []
    assert [name for name in document["components"]["schemas"] if f"\n### {name}\n" not in page] == []
    variables = {name: field.validation_alias or f"DSNOT_{name.upper()}" for name, field in Settings.model_fields.items()}
    assert [name for name, variable in variables.items() if f"`{variable}`" not in settings.page()] == []
    assert [name for name in PRESETS if f"### `{name}`" not in recipes.page()] == []
    assert "#### `dsnot artifacts verify`" in cli.page()


def test_the_page_of_sweeps_has_every_example_and_each_forms_its_jobs() -> None:
    page = (DOCS / "guides" / "sweeps.md").read_text()
    *shown, trigger = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]
    files = {path.stem: json.loads(path.read_text()) for path in (DOCS / "examples" / "sweeps").glob("*.json")}
    assert sorted(map(str, shown)) == sorted(map(str, files.values()))
    points = {name: len(expanded(SweepSpec.model_validate(body))[1]) for name, body in files.items()}
    assert points == {  # of a search over sparsity the ends, else all candidates
        "calibration": 9, "cheapest-preset": 3, "patterns": 3, "recipes": 4, "sparsest": 2, "sparsity-curve": 10,
    }  # fmt: skip
    wanted = NewTrigger.model_validate(trigger)
    templates.check(wanted.template, UUID(int=1), wanted.starts)


def test_the_page_of_webhooks_lists_every_event() -> None:
    page = (DOCS / "guides" / "webhooks.md").read_text()
    assert [event for event in WebhookEvent if f"`{event}`" not in page] == []
