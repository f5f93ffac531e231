"""Renders a chart with Helm's SDK: reads a request as JSON from standard input and writes the answer as JSON.

It runs in a process of its own, because the SDK loads a Go runtime.
"""

import json
import sys
from typing import Any

import helm_python  # type: ignore[import-not-found]


def render(chart: helm_python.Chart, values: dict[str, Any], release: str) -> dict[str, Any]:
    """Return the text of each template, or the error by which Helm refuses the values."""
    try:
        return {"files": chart.render(values, name=release, namespace="dsnot", is_install=True)}
    except helm_python.HelmError as error:
        return {"error": str(error)}


def main() -> None:
    """Answer with a rendering per entry of `values`, and the findings of the linter."""
    request = json.load(sys.stdin)
    with helm_python.Chart.load(request["chart"]) as chart:
        answers = [render(chart, values, request["release"]) for values in request["values"]]
    found = [helm_python.lint(request["chart"], values, strict=True) for values in request["lint"]]
    json.dump({"renderings": answers, "findings": found}, sys.stdout)


if __name__ == "__main__":
    main()
