"""The OpenAPI document: complete, consistent, and with examples that work."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from service.contract.spec import JobSpec
from service.datasets.documents import Format
from service.datasets.intake import Intake
from service.datasets.schemas import DatasetView
from service.jobs.schemas import SPEC_EXAMPLES


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{method} {path}", found) for path, methods in document["paths"].items() for method, found in methods.items()]


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return here.union(*map(references, value.values()))
    return set[str]().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_reference_resolves_to_a_schema(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


def needed(path: str, operation: dict[str, Any]) -> set[str]:
    """The errors that an operation can give by what it takes."""
    if not path.startswith("/v1/"):
        return set()
    body = {"400", "408", "413", "415"} if "requestBody" in operation else set()
    return {"401", "403", "422", "503"} | body | ({"404"} if "{" in path else set())


def test_every_error_is_declared_as_a_problem(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            errors = {status: entry for status, entry in operation["responses"].items() if status >= "400"}
            assert errors.keys() >= needed(path, operation), (method, path)
            for status, entry in errors.items() if path.startswith("/v1/") else ():
                assert entry["description"]
                assert list(entry["content"]) == ["application/problem+json"], (method, path, status)
                content = entry["content"]["application/problem+json"]
                assert content["schema"] == {"$ref": "#/components/schemas/ProblemView"}
                assert content["example"]["status"] == int(status)


def test_every_operation_except_platform_routes_requires_a_key(document: dict[str, Any]) -> None:
    assert {name.split()[1] for name, each in operations(document) if not each.get("security")} == {"/livez", "/readyz"}


def test_every_operation_has_a_summary_and_a_readable_id(document: dict[str, Any]) -> None:
    found = operations(document)
    assert all(operation["description"].strip() and operation["summary"].strip() for _, operation in found)
    names = [operation["operationId"] for _, operation in found]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name)] == []
    assert {"create_job", "get_job", "upload_dataset", "fire_trigger"} <= set(names)


def schemas_with_examples(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Where each example is, the schema that it is an example of, and the example."""
    if isinstance(value, list):
        for position, member in enumerate(value):
            yield from schemas_with_examples(member, f"{place}/{position}")
    if not isinstance(value, dict):
        return
    schema = value.get("schema", value)  # of a parameter, a header or a body; else it is a schema itself
    if "example" in value:
        yield place, schema, value["example"]
    given = value.get("examples", ())
    for example in [each["value"] for each in given.values()] if isinstance(given, dict) else given:
        yield place, schema, example
    for name, member in value.items():
        if name not in ("example", "examples"):
            yield from schemas_with_examples(member, f"{place}/{name}")


def test_every_example_is_valid_against_its_schema(document: dict[str, Any]) -> None:
    found = list(schemas_with_examples(document))
    wrong = []
    for place, schema, example in found:
        whole = {**schema, "components": document["components"]}
        checker = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        wrong += [(place, error.json_path, error.message) for error in checker.iter_errors(example)]
    assert wrong == []
    assert len(found) > 100


def test_every_schema_is_valid(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_body_and_response_has_an_example(document: dict[str, Any]) -> None:
    """Those that are more than a name and a number."""
    with_examples = {place for place, _, _ in schemas_with_examples(document)}
    for name in ("JobView", "DatasetView", "WorkerView", "InspectionView", "EventView", "PlanView", "NewWebhook", "NewTrigger"):
        assert f"/components/schemas/{name}" in with_examples, name


def test_every_creation_declares_a_location_header(document: dict[str, Any]) -> None:
    created = {name: operation["responses"]["201"] for name, operation in operations(document) if "201" in operation["responses"]}
    assert "post /v1/jobs" in created
    assert [name for name, answer in created.items() if "Location" not in answer.get("headers", {})] == []


def test_transient_errors_declare_retry_after(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status in {"429", "503"} & operation["responses"].keys() if "/v1/" in name else ():
            assert "Retry-After" in operation["responses"][status]["headers"], (name, status)


def test_the_examples_of_a_job_are_accepted(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/JobSpec"}
    assert body["examples"] == SPEC_EXAMPLES
    for example in SPEC_EXAMPLES.values():
        JobSpec.model_validate(example["value"])


def test_the_examples_of_a_data_set_have_equal_documents(document: dict[str, Any]) -> None:
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
