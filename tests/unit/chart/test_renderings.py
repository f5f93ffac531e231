"""The Helm chart renders what was reviewed; `make chart` writes the files again after a change."""

import tomllib

import pytest
import yaml

from tests.support.chart import CHART, HAS_HELM, ROOT, VALUES, ask_helm, expected, values_of, written

pytestmark = pytest.mark.skipif(not HAS_HELM, reason="Helm's SDK has no wheel for this platform")

INFO = 1
"""Lowest severity of Helm's linter, such as of a chart without an icon."""


@pytest.mark.parametrize("name", VALUES)
def test_the_rendering_is_the_reviewed_one(name: str) -> None:
    assert written(name) == expected(name).read_text(), "if the change is right, run `make chart` and review the difference"


def test_no_reviewed_rendering_is_without_values() -> None:
    found = {path.stem for path in (expected("gpus").parent).glob("*.yaml")}
    assert found == set(VALUES) - {"default"}


def test_the_linter_of_helm_finds_nothing_wrong() -> None:
    for findings in ask_helm(*map(values_of, VALUES), lint=True)["findings"]:
        assert [each for each in findings["messages"] if each["severity"] > INFO] == []


def test_the_chart_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["appVersion"], chart["version"]) == (version, version)
