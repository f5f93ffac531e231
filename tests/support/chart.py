"""The Helm chart, rendered by Helm's SDK in `.venv-helm`, which `make test` makes.

`make chart` writes the renderings, to be reviewed.
"""

import json
import os
import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "docker" / "helm" / "dsnot"
PLAIN = ROOT / "docker" / "kubernetes.yaml"
TESTS = ROOT / "tests" / "unit" / "chart"
VALUES = sorted(path.stem for path in (TESTS / "values").glob("*.yaml"))
PACKAGES = next((ROOT / ".venv-helm").glob("lib/python*/site-packages"), ROOT / ".venv-helm")
HAS_HELM = platform.machine() == "x86_64"
HEADER = """\
# The chart docker/helm/dsnot with its defaults, for clusters without Helm; `make chart` renders it.
# Replace registry.example/team and s3://dsnot-artifacts; docs/operate/kubernetes.md lists the Secret that it needs.
"""


def with_packages(*command: str, text: str = "") -> str:
    """Run Python with the packages of `.venv-helm` in addition, and return what it prints."""
    assert PACKAGES.name == "site-packages", "Helm's library is not installed: run `make test`, which makes .venv-helm"
    paths = {"PYTHONPATH": os.pathsep.join((str(ROOT), str(PACKAGES)))}
    done = subprocess.run(
        [sys.executable, *command], input=text, env=os.environ | paths, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask_helm(*values: dict[str, Any], release: str = "dsnot", lint: bool = False) -> dict[str, Any]:
    """Return Helm's answers to values: a rendering or an error each, and on request the linter's findings."""
    request = {"chart": str(CHART), "release": release, "values": values, "lint": values if lint else ()}
    answer: dict[str, Any] = json.loads(with_packages("-m", "tests.support.helm_sdk", text=json.dumps(request)))
    return answer


def refusals(*values: dict[str, Any], release: str = "dsnot") -> list[str]:
    """Return the sentences by which Helm refuses values, each added to the least that the chart needs; empty: accepted."""
    answers = ask_helm(*(merged(values_of("default"), each) for each in values), release=release)["renderings"]
    return [str(answer.get("error", "")) for answer in answers]


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return values with others over them."""
    both = {name: merged(values[name], more[name]) for name in values.keys() & more.keys() if isinstance(more[name], dict)}
    return values | more | both


def values_of(name: str) -> dict[str, Any]:
    """Return a file of values."""
    found: dict[str, Any] = yaml.safe_load((TESTS / "values" / f"{name}.yaml").read_text())
    return found


@cache
def renderings() -> dict[str, str]:
    """Return the manifest of every file of values."""
    answers = ask_helm(*map(values_of, VALUES))["renderings"]
    assert [answer["error"] for answer in answers if "error" in answer] == []
    return {name: manifest(answer["files"]) for name, answer in zip(VALUES, answers, strict=True)}


def manifest(files: dict[str, str]) -> str:
    """Return all objects of a rendering, each with the template from which it comes."""
    parts = []
    for path, text in sorted(files.items()):
        if path.endswith(".yaml"):
            documents = (each.strip("\n") for each in re.split(r"^---$", text, flags=re.MULTILINE))
            parts += [f"---\n# Source: {path}\n{each}\n" for each in documents if each.strip()]
    return "".join(parts)


@cache
def objects(name: str) -> list[dict[str, Any]]:
    """Return the objects that the chart renders for a file of values."""
    return list(yaml.load_all(renderings()[name], yaml.CSafeLoader))


def of_kind(name: str, *kinds: str) -> list[dict[str, Any]]:
    """Return the objects of some kinds."""
    return [each for each in objects(name) if each["kind"] in kinds]


def pods(name: str) -> dict[str, dict[str, Any]]:
    """Return the template of the pods of every Deployment and Job, by its name."""
    return templates(objects(name))


def templates(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the templates of pods among objects, by the name of the Deployment or Job."""
    return {each["metadata"]["name"]: each["spec"]["template"] for each in items if each["kind"] in ("Deployment", "Job")}


def expected(name: str) -> Path:
    """Return the file with the reviewed rendering."""
    return PLAIN if name == "default" else TESTS / "renderings" / f"{name}.yaml"


def written(name: str) -> str:
    """Return the text of that file."""
    return (HEADER if name == "default" else "") + renderings()[name]


if __name__ == "__main__":
    for each in VALUES:
        expected(each).write_text(written(each))
