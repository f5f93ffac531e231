"""Schemas of what the Helm chart renders: Kubernetes', KEDA's and the Prometheus operator's, without unknown fields."""

import json
import os
from functools import cache
from typing import Any

import jsonschema_rs

from tests.support.chart import PACKAGES, with_packages

CUSTOM = {
    "keda.sh/v1alpha1": ("cloudcoil.models.keda.v1alpha1", ("ScaledObject", "TriggerAuthentication")),
    "monitoring.coreos.com/v1": ("cloudcoil.models.prometheus_operator.v1", ("PodMonitor", "ServiceMonitor")),
}
PRINT_SCHEMAS = """
import importlib, json, sys
print(json.dumps({
    f"{api} {kind}": getattr(importlib.import_module(module), kind).model_json_schema()
    for api, (module, kinds) in json.loads(sys.argv[1]).items() for kind in kinds
}))
"""


def problems(item: dict[str, Any], version: str) -> list[str]:
    """Return what one version of Kubernetes, with the types of KEDA and the Prometheus operator, refuses in an object."""
    validator = _custom(item["apiVersion"], item["kind"]) if item["apiVersion"] in CUSTOM else _own(_file(item), version)
    name = f"{item['kind']} {item['metadata']['name']}"
    return [f"{name} {'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(item)]


def _file(item: dict[str, Any]) -> str:
    group, _, api = item["apiVersion"].rpartition("/")
    return "-".join(filter(None, (item["kind"].lower(), group.split(".")[0], api)))


@cache
def _own(file: str, version: str) -> Any:
    folder = PACKAGES / "kubernetes_validate" / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    schema = json.loads((folder / f"{file}.json").read_text()) | {"$id": "https://kubernetes/"}
    return jsonschema_rs.validator_for(schema, retriever=lambda uri: json.loads((folder / uri.rpartition("/")[2]).read_text()))


@cache
def _custom(api: str, kind: str) -> Any:
    """Return the validator of a custom type; its schema is kept with the packages, because their import takes seconds."""
    kept = PACKAGES / "custom-schemas.json"
    if not kept.exists():
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(with_packages("-c", PRINT_SCHEMAS, json.dumps(CUSTOM)))
        part.replace(kept)
    return jsonschema_rs.validator_for(_strict(json.loads(kept.read_text())[f"{api} {kind}"]))


def _strict(schema: Any) -> Any:
    """Return the schema with unknown fields refused, which a cluster would drop."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema and "additionalProperties" not in schema else {}
    return {name: _strict(value) for name, value in schema.items()} | closed
