"""Processes of the Helm chart: those of docker-compose.yml, with settings that the code reads."""

import os
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from service.__main__ import DEFAULTS
from service.api.health import router
from service.ops.health import operations as readiness
from service.settings import Settings
from tests.support.chart import CHART, HAS_HELM, ROOT, VALUES, pods

pytestmark = pytest.mark.skipif(not HAS_HELM, reason="Helm's SDK has no wheel for this platform")

EVERY = pytest.mark.parametrize("name", VALUES)
COMPOSED: Final = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OF_MIGRATE: Final = {"DSNOT_WORKER_DATABASE_URL", "DSNOT_WORKER_STORE_PRINCIPAL"}
FROM_SECRETS: Final = {
    "DSNOT_DATABASE_URL": "postgresql://user:password@host/database",
    "DSNOT_DATABASE_DIRECT_URL": "postgresql://user:password@host/database",
    "DSNOT_WORKER_DATABASE_URL": "postgresql://worker:password@host/database",
    "DSNOT_BROKER_URL": "redis://host",
    "DSNOT_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "HF_TOKEN": "token",
    "MLFLOW_TRACKING_TOKEN": "token",
    "MLFLOW_TRACKING_USERNAME": "user",
    "MLFLOW_TRACKING_PASSWORD": "password",
}
PAGE: Final = ROOT / "docs" / "operate" / "kubernetes.md"


def containers(name: str) -> dict[str, dict[str, Any]]:
    """Return the container of every pod, by the name of its Deployment or Job without that of the release."""
    return {owner.removeprefix("dsnot-"): template["spec"]["containers"][0] for owner, template in pods(name).items()}


def workers(name: str) -> Iterator[dict[str, Any]]:
    """Yield the pods' specification of every class of workers."""
    yield from (template["spec"] for owner, template in pods(name).items() if owner.startswith("dsnot-worker-"))


def plain(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def secrets(container: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return Secret and key of each variable that has one."""
    found = ((each["name"], each["valueFrom"]["secretKeyRef"]) for each in container["env"] if "valueFrom" in each)
    return {variable: (reference["name"], reference["key"]) for variable, reference in found}


@EVERY
def test_every_process_can_read_its_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"DSNOT_{field.upper()}" for field in Settings.model_fields} | OF_MIGRATE
    for process, container in containers(name).items():
        values = plain(container) | {variable: FROM_SECRETS[variable] for variable in secrets(container)}
        assert len(values) == len(container["env"]), "no variable twice"
        assert {variable for variable in values if variable.startswith("DSNOT_")} <= known
        for variable in [each for each in os.environ if each.startswith("DSNOT_")]:
            monkeypatch.delenv(variable)
        for variable, value in ({"DSNOT_BROKER_URL": FROM_SECRETS["DSNOT_BROKER_URL"]} | values).items():
            monkeypatch.setenv(variable, value)
        settings = Settings()
        assert settings.metrics_port == 9464
        assert (settings.device == "auto") == (not process.startswith("worker-"))


@pytest.mark.parametrize("process", ["service", "dispatcher", "migrate", "worker-gpu"])
def test_a_process_has_the_variables_and_secrets_of_the_compose_file(process: str) -> None:
    container, wanted = containers("everything")[process], COMPOSED[process]["environment"].keys()
    unused = {"DSNOT_BROKER_URL"} if process == "migrate" else set()
    assert wanted - {each["name"] for each in container["env"]} == unused
    assert secrets(container).keys() - {"DSNOT_DATABASE_DIRECT_URL"} == (wanted & FROM_SECRETS.keys()) - unused


@EVERY
def test_workers_have_neither_the_owner_of_the_database_nor_the_keys_of_the_store(name: str) -> None:
    every = containers(name)
    owner = secrets(every["service"]) | secrets(every["migrate"])
    own = {"DSNOT_DATABASE_URL", "DSNOT_DATABASE_DIRECT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    for found in (secrets(container) for process, container in every.items() if process.startswith("worker-")):
        assert not {"DSNOT_SECRET_KEY", "DSNOT_WORKER_DATABASE_URL"} & found.keys()
        assert all(found[variable] != owner[variable] for variable in own & found.keys())
        assert found["DSNOT_DATABASE_URL"] == owner["DSNOT_WORKER_DATABASE_URL"]


@EVERY
def test_commands_are_those_of_compose_file_and_images(name: str) -> None:
    for process, container in containers(name).items():
        assert "command" not in container
        assert container.get("args") == COMPOSED.get(process, {}).get("command"), process


@EVERY
def test_health_checks_are_those_of_compose_file_and_images(name: str) -> None:
    image = (ROOT / "docker" / "worker.Dockerfile").read_text()
    (of_worker,) = re.findall(r"HEALTHCHECK .* CMD (.*)", image)
    for process, container in containers(name).items():
        if process == "dispatcher" or process.startswith("worker-"):
            expected = COMPOSED["dispatcher"]["healthcheck"]["test"][1:]
            assert yaml.safe_load(of_worker) == expected
            assert container["livenessProbe"]["exec"]["command"] == container["startupProbe"]["exec"]["command"] == expected
    service = containers(name)["service"]
    served = {route.path for route in router.routes}  # type: ignore[attr-defined]
    paths = {probe: service[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert served >= set(paths.values())
    assert service["readinessProbe"]["timeoutSeconds"] > readiness._SECONDS
    assert [port["containerPort"] for port in service["ports"]] == [8321]
    assert "EXPOSE 8321\n" in (ROOT / "docker" / "service.Dockerfile").read_text()


@EVERY
def test_a_stopped_process_has_time_to_finish(name: str) -> None:
    from worker.app import _SECONDS_TO_STOP

    schema = yaml.safe_load((CHART / "values.schema.json").read_text())["definitions"]["class"]["properties"]
    assert schema["terminationGracePeriodSeconds"]["minimum"] >= _SECONDS_TO_STOP + 5
    assert all(spec["terminationGracePeriodSeconds"] > 2 * _SECONDS_TO_STOP for spec in workers(name))
    spec = pods(name)["dsnot-service"]["spec"]
    _, delay = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    graceful = DEFAULTS[DEFAULTS.index("--timeout-graceful-shutdown") + 1]
    assert spec["terminationGracePeriodSeconds"] >= int(delay) + int(graceful) + 5


def test_in_an_upgrade_schema_and_workers_are_new_while_a_tag_keeps_service_and_dispatcher() -> None:
    tags = {process: container["image"].rpartition(":")[2] for process, container in containers("everything").items()}
    old = {process for process, tag in tags.items() if tag == "0.1.0"}
    assert old == {"service", "dispatcher"}
    assert {tag for process, tag in tags.items() if process not in old} == {"0.2.0"}


@EVERY
def test_a_worker_with_a_gpu_requests_one_and_one_without_does_not(name: str) -> None:
    for spec in workers(name):
        (container,) = spec["containers"]
        limits = container["resources"]["limits"]
        gpus = {resource: count for resource, count in limits.items() if resource != "memory"}
        assert list(gpus.values()) == ([1] if plain(container)["DSNOT_DEVICE"] == "cuda:0" else [])
        assert limits["memory"] == container["resources"]["requests"]["memory"]
        assert plain(container)["OMP_NUM_THREADS"] == str(container["resources"]["requests"]["cpu"])


def documented() -> set[str]:
    """Return the keys of the Secret that the page creates."""
    (command,) = re.findall(r"^kubectl .* create secret generic dsnot (?:.*\\\n)*.*$", PAGE.read_text(), re.MULTILINE)
    return set(re.findall(r"--from-literal=([a-z-]+)=", command))


def test_the_page_creates_exactly_the_secret_to_which_the_defaults_refer() -> None:
    used = {reference for each in containers("gpus").values() for reference in secrets(each).values()}
    assert {secret for secret, _ in used} == {"dsnot"}
    keda = yaml.safe_load((CHART / "values.yaml").read_text())["keda"]["database"]
    assert keda["existingSecret"] == "dsnot"
    assert documented() == {key for _, key in used} | {keda["passwordKey"]}
