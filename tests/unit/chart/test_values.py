"""Values of the Helm chart: wrong ones are refused by name, and none is without effect."""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from service.settings import Settings
from tests.support.chart import CHART, HAS_HELM, ROOT, ask_helm, manifest, merged, objects, refusals, renderings, values_of

pytestmark = pytest.mark.skipif(not HAS_HELM, reason="Helm's SDK has no wheel for this platform")

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
OWN_VALUES = {
    "database_url", "database_direct_url", "broker_url", "artifact_url", "artifact_public_endpoint", "secret_key",
    "mlflow_username", "mlflow_password", "mlflow_token",
    "model_root", "cache_dir", "device", "signing_key", "metrics_host", "metrics_port", "alive_file",
}  # fmt: skip
"""Settings that the chart sets from values of their own, or the image."""
SAME_WITH_EVERYTHING: Final = {
    ("service", "replicas"),  # with autoscaling
    ("service", "autoscaling", "enabled"),
    ("workerDefaults", "replicas"),  # with KEDA
    ("workerDefaults", "gpu", "count"),
    ("workerDefaults", "scaling", "min"),
    ("workerDefaults", "scaling", "interruptJobs"),
    ("networkPolicy", "enabled"),
}
"""Values whose default and whose value in the file with everything render alike; the other files set most of them."""
LONG = "a-release-with-quite-a-long-name"


REFUSED: Final[list[tuple[dict[str, Any], str]]] = [
    ({"image": {"repository": ""}}, "image.repository is empty; name the registry"),
    ({"store": {"url": ""}}, "store.url is empty; name the bucket"),
    ({"store": {"url": "file:///artifacts"}}, "at '/store/url': 'file:///artifacts' does not match"),
    ({"image": {"repository": "registry.example/team/"}}, "at '/image/repository': 'registry.example/team/' does not match"),
    ({"image": {"tag": "0.1.0@sha256:1234"}}, "at '/image/tag': '0.1.0@sha256:1234' does not match"),
    ({"image": {"tag": 0.2}}, "at '/image/tag': got number, want string"),
    ({"wokers": {}}, "additional properties 'wokers' not allowed"),
    ({"workers": {"gpu": {"memroy": "1Gi"}}}, "at '/workers/gpu': additional properties 'memroy' not allowed"),
    ({"workers": {"gpu": {"memory": "much"}}}, "at '/workers/gpu/memory': 'much' does not match"),
    ({"workers": {"gpu": {"gpu": {"memory": "80 GB"}}}}, "at '/workers/gpu/gpu/memory': '80 GB' does not match"),
    ({"workers": {"gpu": {"device": "gpu"}}}, "at '/workers/gpu/device': 'gpu' does not match"),
    ({"workers": {"gpu": {"cpu": "4"}}}, "at '/workers/gpu/cpu': got string, want integer"),
    ({"workers": {"GPU_1": {}}}, "at '/workers': additional properties 'GPU_1' not allowed"),
    ({"workers": {"of-thirteen-x": {}}}, "at '/workers': additional properties 'of-thirteen-x' not allowed"),
    ({"workers": {"gpu": {"cache": {"hostPath": "/cache"}}}}, "at '/workers/gpu/cache': additional properties 'hostPath'"),
    ({"workerDefaults": {"terminationGracePeriodSeconds": 12}}, "at '/workerDefaults/terminationGracePeriodSeconds': minimum"),
    ({"workers": {"gpu": {"scaling": {"devices": ["cuda"]}}}}, "at '/workers/gpu/scaling/devices/0': value must be one of"),
    ({"settings": {"DSNOT_LOG_LEVL": "INFO"}}, "at '/settings': additional properties 'DSNOT_LOG_LEVL' not allowed"),
    ({"settings": {"DSNOT_DEVICE": "cpu"}}, "at '/settings': additional properties 'DSNOT_DEVICE' not allowed"),
    ({"settings": {"DSNOT_MAX_UPLOADS": 4}}, "at '/settings/DSNOT_MAX_UPLOADS': got number, want string"),
    ({"env": {"DSNOT_DEVICE": "cpu"}}, "env.DSNOT_DEVICE is no variable of a library; set it in settings"),
    ({"volumes": [{"name": "disk", "hostPath": {"path": "/"}}]}, "at '/volumes/0': additional properties 'hostPath'"),
    ({"podSecurity": {"runAsUser": 0}}, "at '/podSecurity/runAsUser': minimum"),
    ({"database": {"directUrlKey": "direct"}}, "database.workerDirectUrlKey is empty; name the key"),
    ({"ingress": {"enabled": True}}, "ingress.host is empty; name the host"),
    ({"keda": {"enabled": True}}, "keda.database.host is empty; name the host"),
    (
        {"keda": {"enabled": True, "database": {"host": "db"}}, "workers": {"cpu": {"scaling": {"min": 1}}}},
        "workers.cpu.scaling.min is 1, so its workers are never scaled down; set it to 0, or",
    ),
]


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """What Helm says of each of the wrong values, in one go."""
    return refusals(*(values for values, _ in REFUSED))


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=lambda number: REFUSED[number][1].split(" ")[0])
def test_a_wrong_value_is_refused_by_name(number: int, sentences: list[str]) -> None:
    assert REFUSED[number][1] in sentences[number]


def test_a_release_name_whose_pods_would_have_too_long_names_is_refused() -> None:
    (sentence,) = refusals({}, release=LONG)
    assert f"the release name {LONG} is too long" in sentence


def test_names_of_pods_fit_into_host_names() -> None:
    release, worker = "a-release-of-26-characters"[:20], "twelve-chars"
    values = merged(values_of("default"), {"workers": {worker: {}}})
    (answer,) = ask_helm(values, release=release)["renderings"]
    name = f"{release}-dsnot-worker-{worker}"
    assert f"name: {name}\n" in answer["files"]["dsnot/templates/workers.yaml"]
    assert len(f"{name}-0123456789") <= 58, "beyond, Kubernetes shortens the names of pods, and the scaler's query misses them"


def test_settings_are_exactly_those_without_a_value_of_their_own() -> None:
    wanted = {f"DSNOT_{name.upper()}" for name in Settings.model_fields.keys() - OWN_VALUES}
    assert SCHEMA["definitions"]["settings"]["properties"].keys() == wanted
    assert Settings.model_fields.keys() >= OWN_VALUES


def leaves(values: dict[str, Any], *place: str) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value that is no object of values."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, *place, name)
        else:
            yield (*place, name)


def described(schema: dict[str, Any], place: tuple[str, ...]) -> bool:
    """Return whether the schema has the field."""
    for name in place:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        if name not in schema.get("properties", {}):
            patterns = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
            return isinstance(patterns[0], dict)
        schema = schema["properties"][name]
    return True


def test_the_schema_describes_every_value() -> None:
    assert [place for place in leaves(DEFAULTS) if not described(SCHEMA, place)] == []


def without(values: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """Return values with the default at one place."""
    name, *rest = place
    left = {key: value for key, value in values.items() if key != name}
    return left | {name: without(values[name], tuple(rest))} if rest else left


def test_every_value_has_an_effect() -> None:
    values = values_of("everything")
    places = [place for place in leaves(values) if place not in SAME_WITH_EVERYTHING]
    answers = ask_helm(*(without(values, place) for place in places))["renderings"]
    assert [
        place
        for place, each in zip(places, answers, strict=True)
        if manifest(each.get("files", {})) == renderings()["everything"]
    ] == []
    tried = [*places, *SAME_WITH_EVERYTHING]
    untried = [leaf for leaf in leaves(DEFAULTS) if not any(place[: len(leaf)] == leaf for place in tried)]
    assert [leaf for leaf in untried if leaf[-2] not in ("annotations", "podAnnotations")] == []


def test_a_class_may_set_what_counts_as_empty() -> None:
    defaults = {"workerDefaults": {"replicas": 3, "podAnnotations": {"a": "b"}, "gpu": {"resource": "nvidia.com/gpu"}}}
    (answer,) = ask_helm(merged(values_of("default"), defaults | {"workers": {"cpu": {"replicas": 0, "gpu": {"resource": ""}}}}))[
        "renderings"
    ]
    (worker,) = [each for each in yaml.safe_load_all(answer["files"]["dsnot/templates/workers.yaml"]) if each]
    assert worker["spec"]["replicas"] == 0
    assert worker["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].keys() == {"memory"}


def test_a_class_may_be_removed() -> None:
    names = {item["metadata"]["name"] for item in objects("gpus") if item["kind"] == "Deployment"}
    assert names == {"dsnot-service", "dsnot-dispatcher", "dsnot-worker-h200", "dsnot-worker-mig"}


def test_the_page_shows_values_that_are_accepted() -> None:
    page = (ROOT / "docs" / "operate" / "kubernetes.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    options = re.findall(r"--set ([\w.]+)=(\S*)", page)
    assert len(options) == 5
    shown = [functools.reduce(lambda value, name: {name: value}, reversed(name.split(".")), text) for name, text in options]
    assert refusals(yaml.safe_load(block), *shown) == [""] * 6
