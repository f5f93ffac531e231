"""Alerts speak of metrics that there are, and of what to do about them."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from promql_parser import parse

from service.contract.devices import DeviceClass
from service.database.engine import Database
from service.dispatcher import metrics as dispatcher
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support.metrics_scrape import Scrape
from worker.process import metrics as worker
from worker.process.metrics_server import WorkerCollector

ROOT = Path(__file__).parents[3]
PLACE = ROOT / "docker" / "observability"
COMPOSED: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((PLACE / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((PLACE / "grafana" / "dashboards" / "dsnot.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
OF_PROMETHEUS = {"le", "instance", "job"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_parses_and_has_a_section_in_the_runbook(rule: dict[str, Any]) -> None:
    parse(rule["expr"])
    page, anchor = rule["annotations"]["runbook"].split("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in [heading.lower() for heading in headings]
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_runbook_has_no_section_of_a_removed_alert() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "operate" / "runbook.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]


def test_every_metric_of_alerts_and_dashboard_is_exposed(api: httpx.Client, database: Database, tmp_path: Path) -> None:
    identity = Identity("h:1", "h", DeviceClass.GPU, "x", 1, 1, {"dsnot": "1"})
    with database.begin() as session:
        workers.started(session, identity, Usage(1, 1))
    api.get("/v1/jobs")
    everything = dispatcher.REGISTRY, worker.REGISTRY, WorkerCollector(identity, tmp_path)
    found = Scrape(f"{api.base_url}/metrics", *everything)
    for expression in [*(rule["expr"] for rule in RULES), *EXPRESSIONS]:
        for name in set(re.findall(r"\bdsnot_\w+\b", expression)):
            assert name in found.names, name
        for name, matchers in re.findall(r"(dsnot_\w+)\{([^}]*)\}", expression):
            wanted = set(re.findall(r"(\w+)=", matchers))
            assert wanted <= found.labels_of(name), (name, wanted)
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            assert set(re.findall(r"\w+", labels)) <= found.all_labels | OF_PROMETHEUS, expression


def test_prometheus_loads_the_alerts_and_scrapes_every_process() -> None:
    settings = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    assert settings["rule_files"] == ["alerts.yml"]
    targets = [target for job in settings["scrape_configs"] for target in job["dns_sd_configs"]]
    assert {name for target in targets for name in target["names"]} == {"service", "dispatcher", "worker", "worker-gpu"}
    assert {str(target["port"]) for target in targets} == {"8321", COMPOSED["x-environment"]["DSNOT_METRICS_PORT"]}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_of_the_dashboard_parses(expression: str) -> None:
    parse(expression.replace("$__rate_interval", "1m"))


def test_panels_have_unique_titles_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_grafana_loads_the_dashboard_and_its_data_sources() -> None:
    provisioned = PLACE / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioned / "dashboards" / "dsnot.yml").read_text())["providers"]
    sources = yaml.safe_load((provisioned / "datasources" / "dsnot.yml").read_text())["datasources"]
    mounts = dict(volume.split(":")[:2] for volume in COMPOSED["services"]["grafana"]["volumes"])
    assert mounts["./docker/observability/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./docker/observability/grafana/provisioning"] == "/etc/grafana/provisioning"
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert used <= {source["uid"] for source in sources}
    hosts = {re.match(r"http://([\w-]+):\d+$", source["url"])[1] for source in sources}  # type: ignore[index]
    assert hosts <= set(COMPOSED["services"])
