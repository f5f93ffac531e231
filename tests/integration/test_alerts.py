"""Alerts speak of metrics that there are, and of what to do about them."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from promql_parser import parse

from service.contract import DeviceClass
from service.database import Database
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.integration.scraping import Scrape

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docker" / "observability"
RULES: list[dict[str, Any]] = yaml.safe_load((PLACE / "alerts.yml").read_text())["groups"][0]["rules"]
OF_PROMETHEUS = {"up"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_can_be_read_and_has_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    parse(rule["expr"])
    page, anchor = rule["annotations"]["runbook"].split("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in [heading.lower() for heading in headings]
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]


def test_every_metric_of_the_alerts_is_exposed_with_its_labels(api: httpx.Client, database: Database) -> None:
    with database.begin() as session:
        workers.started(session, Identity("h:1", "h", DeviceClass.CPU, "x", None, 1, {}), Usage(1, 1))
    api.get("/v1/jobs")
    found = Scrape(f"{api.base_url}/metrics")
    for rule in RULES:
        for name in set(re.findall(r"\b(?:dsnot_\w+|up)\b", rule["expr"])) - OF_PROMETHEUS:
            assert name in found.names, name
        for name, matchers in re.findall(r"(dsnot_\w+)\{([^}]*)\}", rule["expr"]):
            wanted = set(re.findall(r"(\w+)=", matchers))
            assert wanted <= found.labels_of(name), (name, wanted)


def test_prometheus_reads_the_alerts_and_finds_the_service() -> None:
    settings = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    assert settings["rule_files"] == ["alerts.yml"]
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    (targets,) = settings["scrape_configs"][0]["dns_sd_configs"]
    assert set(targets["names"]) <= set(composed)
