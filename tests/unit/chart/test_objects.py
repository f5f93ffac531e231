"""The objects of the Helm chart: valid for Kubernetes, hardened, and in step with each other, for every file of values."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.chart import CHART, HAS_HELM, VALUES, objects, of_kind, pods
from tests.support.chart_schemas import problems

pytestmark = pytest.mark.skipif(not HAS_HELM, reason="Helm's SDK has no wheel for this platform")

OLDEST = yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].removeprefix(">=").rpartition(".")[0]
EVERY = pytest.mark.parametrize("name", VALUES)
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


@EVERY
@pytest.mark.parametrize("version", [OLDEST, "1.37"])
def test_a_cluster_accepts_every_object(name: str, version: str) -> None:
    assert [problem for item in objects(name) for problem in problems(item, version)] == []


@pytest.mark.parametrize("kind", ["Deployment", "Job", "NetworkPolicy", "ScaledObject", "TriggerAuthentication", "PodMonitor"])
def test_a_cluster_refuses_fields_that_it_does_not_know(kind: str) -> None:
    item, *_ = of_kind("everything", kind)
    (problem,) = problems({**item, "spec": {**item["spec"], "other": []}}, OLDEST)
    assert "'other'" in problem


def test_a_cluster_refuses_numbers_in_place_of_text() -> None:
    item = copy.deepcopy(of_kind("everything", "ScaledObject")[0])
    item["spec"]["triggers"][0]["metadata"]["targetQueryValue"] = 1
    (problem,) = problems(item, OLDEST)
    assert "1 is not of type" in problem


@EVERY
def test_every_pod_meets_the_pod_security_standard_restricted(name: str) -> None:
    for template in pods(name).values():
        spec = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"].get("runAsUser") != 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {kind for volume in spec["volumes"] for kind in volume.keys() - {"name"}} <= RESTRICTED_VOLUMES
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", []))


@EVERY
def test_no_pod_has_a_token_or_variables_of_services(name: str) -> None:
    accounts = {item["metadata"]["name"]: item for item in of_kind(name, "ServiceAccount")}
    for template in pods(name).values():
        assert template["spec"]["automountServiceAccountToken"] is False
        assert template["spec"]["enableServiceLinks"] is False  # they would add variables such as DSNOT_PORT
        assert accounts[template["spec"]["serviceAccountName"]]["automountServiceAccountToken"] is False


@EVERY
def test_user_and_group_ids_are_those_of_the_values_or_left_to_the_cluster(name: str) -> None:
    wanted = {"everything": {20001}, "minimal": set[int]()}.get(name, {10001})
    for template in pods(name).values():
        context = template["spec"]["securityContext"]
        assert {context[key] for key in ("runAsUser", "runAsGroup", "fsGroup") if key in context} == wanted


def selectors(name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the labels by which objects select pods."""
    for item in objects(name):
        where, spec = f"{item['kind']} {item['metadata']['name']}", item.get("spec", {})
        if item["kind"] == "Service" and "selector" in spec:
            yield where, spec["selector"]
        elif item["kind"] in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
            yield where, spec["selector"]["matchLabels"]
        elif item["kind"] == "NetworkPolicy":
            yield where, spec["podSelector"]["matchLabels"]


def selected(name: str, labels: dict[str, str]) -> list[str]:
    """Return the names of the pods' owners that have these labels."""
    return [owner for owner, template in pods(name).items() if labels.items() <= template["metadata"]["labels"].items()]


@EVERY
def test_every_selector_finds_its_pods_and_a_deployment_only_its_own(name: str) -> None:
    for where, labels in selectors(name):
        assert selected(name, labels), where
        kind, _, owner = where.partition(" ")
        if kind == "Deployment":
            assert selected(name, labels) == [owner]
    (service,) = [item for item in of_kind(name, "Service") if item["metadata"]["name"] == "dsnot"]
    assert selected(name, service["spec"]["selector"]) == ["dsnot-service"]


@EVERY
def test_targets_of_scalers_exist_and_have_no_replicas_of_their_own(name: str) -> None:
    deployments = {item["metadata"]["name"]: item["spec"] for item in of_kind(name, "Deployment")}
    targets = [item["spec"]["scaleTargetRef"]["name"] for item in of_kind(name, "HorizontalPodAutoscaler", "ScaledObject")]
    assert len(targets) == len(set(targets))
    assert {owner for owner, spec in deployments.items() if "replicas" not in spec} == set(targets)


@EVERY
def test_ports_have_the_names_by_which_others_refer_to_them(name: str) -> None:
    named = {
        owner: {port["name"] for port in spec["spec"]["containers"][0].get("ports", [])} for owner, spec in pods(name).items()
    }
    services = {item["metadata"]["name"]: item["spec"] for item in of_kind(name, "Service")}
    for spec in services.values():
        for owner in selected(name, spec["selector"]) if "selector" in spec else ():
            assert {port["targetPort"] for port in spec["ports"]} <= named[owner]
    for item in of_kind(name, "NetworkPolicy"):
        ports = {port["port"] for rule in item["spec"].get("ingress", []) for port in rule["ports"]}
        policy = item["spec"]["podSelector"]
        within = {each for expression in policy.get("matchExpressions", []) for each in expression["values"]}
        owners = [
            owner
            for owner in selected(name, policy["matchLabels"])
            if not within or pods(name)[owner]["metadata"]["labels"]["app.kubernetes.io/component"] in within
        ]
        assert all(ports <= named[owner] for owner in owners), item["metadata"]["name"]
    for item in of_kind(name, "PodMonitor"):
        for owner in selected(name, item["spec"]["selector"]["matchLabels"]):
            assert {end["port"] for end in item["spec"]["podMetricsEndpoints"]} <= named[owner]
    for item in of_kind(name, "Ingress"):
        for path in item["spec"]["rules"][0]["http"]["paths"]:
            backend = path["backend"]["service"]
            assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]["ports"]}


def test_the_ingress_publishes_no_metrics() -> None:
    (ingress,) = of_kind("everything", "Ingress")
    paths = {(path["path"], path["pathType"]): path["backend"]["service"]["name"] for path in paths_of(ingress)}
    assert paths == {("/tools/dsnot", "Prefix"): "dsnot", ("/tools/dsnot/metrics", "Exact"): "dsnot-closed"}
    (closed,) = [item for item in of_kind("everything", "Service") if item["metadata"]["name"] == "dsnot-closed"]
    assert "selector" not in closed["spec"]


def paths_of(ingress: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ingress["spec"]["rules"][0]["http"]["paths"]
    return found


@EVERY
def test_mounts_have_volumes_and_claims_of_the_chart_are_mounted(name: str) -> None:
    mounted = set()
    for template in pods(name).values():
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in template["spec"]["containers"][0]["volumeMounts"]} == volumes.keys()
        mounted |= {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v}
    assert {item["metadata"]["name"] for item in of_kind(name, "PersistentVolumeClaim")} <= mounted


@EVERY
def test_an_installed_hook_needs_no_object_that_is_created_after_it(name: str) -> None:
    def is_hook(item: dict[str, Any]) -> bool:
        return "helm.sh/hook" in item["metadata"].get("annotations", {})

    hooks = {(item["kind"], item["metadata"]["name"]) for item in objects(name) if is_hook(item)}
    assert hooks == {("Job", "dsnot-migrate"), ("ServiceAccount", "dsnot-migrate")}
    weights = [item["metadata"]["annotations"].get("helm.sh/hook-weight", "0") for item in objects(name) if is_hook(item)]
    assert weights == ["-1", "0"], "the account first"
    assert not any("configMapRef" in str(item) for item in objects(name) if is_hook(item))


@EVERY
def test_objects_have_names_of_their_own(name: str) -> None:
    named = [(item["kind"], item["metadata"]["name"]) for item in objects(name)]
    assert len(named) == len(set(named))
