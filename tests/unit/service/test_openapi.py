"""The OpenAPI document: complete, consistent, and with examples that work."""

from pathlib import Path
from typing import Any

import pytest

from service.contract import JobSpec
from service.datasets.documents import Format
from service.datasets.intake import Intake
from service.datasets.schemas import DatasetView
from service.jobs.schemas import SPEC_EXAMPLES
from service.main import create_app
from service.settings import Settings


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    nowhere = tmp_path_factory.mktemp("nowhere")
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://u:p@127.0.0.1:1/d",
            "broker_url": "redis://127.0.0.1:1/0",
            "artifact_url": (nowhere / "artifacts").as_uri(),
            "model_root": nowhere,
            "cache_dir": nowhere,
        }
    )
    made: dict[str, Any] = create_app(settings).openapi()
    assert list(Path(nowhere).iterdir()) == [], "describing the service opens nothing"
    return made


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{method} {path}", found) for path, methods in document["paths"].items() for method, found in methods.items()]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return here.union(*map(references, value.values()))
    return set[str]().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


def test_every_error_is_declared_as_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "/v1/" not in name:
            continue
        errors = {status: entry for status, entry in operation["responses"].items() if status >= "400"}
        assert errors.keys() >= {"401", "403", "422", "503"}, name
        assert "404" in errors or "{job_id}" not in name, name
        for status, entry in errors.items():
            assert list(entry["content"]) == ["application/problem+json"], (name, status)
            assert entry["content"]["application/problem+json"]["example"]["status"] == int(status)


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    found = operations(document)
    assert all(operation["description"].strip() for _, operation in found)
    assert len({operation["operationId"] for _, operation in found}) == len(found)


def test_every_creation_says_where_the_new_thing_is(document: dict[str, Any]) -> None:
    created = {name: operation["responses"]["201"] for name, operation in operations(document) if "201" in operation["responses"]}
    assert "post /v1/jobs" in created
    assert [name for name, answer in created.items() if "Location" not in answer.get("headers", {})] == []


def test_what_passes_is_declared_with_the_time_to_wait(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status in {"429", "503"} & operation["responses"].keys() if "/v1/" in name else ():
            assert "Retry-After" in operation["responses"][status]["headers"], (name, status)


def test_the_examples_of_a_job_are_accepted(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/JobSpec"}
    assert body["examples"] == SPEC_EXAMPLES
    for example in SPEC_EXAMPLES.values():
        JobSpec.model_validate(example["value"])


def test_the_examples_of_a_data_set_are_the_same_documents(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]
    assert set(content) == {"text/plain", "application/jsonl", "application/x-ndjson"}
    found = set()
    for media_type, body in content.items():
        with Intake(Format.TEXT if media_type == "text/plain" else Format.JSON_LINES) as intake:
            intake.take(body["example"].encode())
            found.add(intake.finish())
    assert len(found) == 1


def test_the_example_of_a_data_set_fits_its_schema(document: dict[str, Any]) -> None:
    for example in document["components"]["schemas"]["DatasetView"]["examples"]:
        assert DatasetView.model_validate(example).model_dump(mode="json") == example
