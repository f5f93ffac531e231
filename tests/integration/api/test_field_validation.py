"""Every field of every body and every query parameter of the OpenAPI document, with every kind of bad value.

Where the document forbids the value it is refused, with a pointer to the field; where it allows it, it does no harm.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import pytest

from service.contract.json_pointer import pointer
from service.contract.scopes import Scope
from service.database.engine import Database
from service.settings import Settings
from tests.support.api_server import client, key_for, problem, serving
from tests.support.openapi_document import belongings, body_of, document_of
from tests.support.schema_fields import MALFORMED, REFUSED, TEXTS, VALUES, Document, Field, body_with
from tests.support.size import sized

T = TypeVar("T")
_MOST_BYTES = 64 * 1024
_STEP = sized(4, 1)
"""Each field is given every `_STEP`-th kind of value, the next field the next kinds."""


def _some(kinds: Mapping[str, T], first: int) -> Iterator[tuple[str, T]]:
    """The kinds that one field is given."""
    return islice(kinds.items(), first % _STEP, None, _STEP)


@pytest.fixture
def api(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    """A client of a service that does not fill up on what is legal."""
    roomy = settings.model_copy(update={"max_queued_jobs": 10**6, "max_triggers": 10**6, "max_webhooks": 10**6})
    with serving(roomy) as url, client(url, key_for(database, Scope.ADMIN)) as opened:
        yield opened


def bodies(document: Document, api: httpx.Client) -> Iterator[tuple[str, str, str, Any, list[Field]]]:
    """Method, path, media type, example and fields of every JSON body."""
    for method, path, operation in document.operations:
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if media_type.endswith(("/json", "+json")):
                one = {**operation, "requestBody": {"content": {media_type: content}}}
                example = json.loads(body_of(document_of(api), one)["content"])
                schema = content["schema"]
                yield method, path, media_type, example, [Field((), schema), *document.fields(schema, Field((), schema))]


def flaw(answer: httpx.Response, field: Field, *, legal: bool) -> str | None:
    """What is wrong with the answer; None if it is as it should be. A parameter's name stands for the pointer to it."""
    if answer.status_code < 400:
        return None if legal else f"accepted with {answer.status_code}"
    if answer.status_code >= 500:
        return f"answered {answer.status_code}"
    status, _, pointers = problem(answer)
    here = pointer(field.path).removeprefix("/")
    if legal or status != 422 or not here or any(f"{each.removeprefix('/')}/".startswith(f"{here}/") for each in pointers):
        return None
    return f"points at {pointers}"


@pytest.mark.timeout(600)
def test_each_body_field_is_tested_with_each_kind_of_value(api: httpx.Client, database: Database) -> None:
    document, objects = Document(document_of(api)), belongings(database, str(api.base_url), "acme")
    wrong, tried = [], 0
    for method, path, media_type, example, fields in bodies(document, api):
        for position, field in enumerate(fields):
            allows = document.allows(field.schema)
            for kind, value in _some(VALUES | REFUSED, position):
                body = body_with(example, field, value)
                if len(body) > _MOST_BYTES:
                    continue
                answer = api.request(method, path.format(**objects), content=body, headers={"Content-Type": media_type})
                legal = kind in VALUES and allows(json.loads(value))
                tried += 1
                if found := flaw(answer, field, legal=legal):
                    wrong.append(f"{method} {path} {pointer(field.path)}: {kind}: {found}")
    assert not wrong, "\n".join(wrong)
    assert tried > 1500 // _STEP, "there are some seventy fields"


def test_invalid_json_is_refused_at_every_position(api: httpx.Client, database: Database) -> None:
    document, objects = Document(document_of(api)), belongings(database, str(api.base_url), "acme")
    found = set()
    for method, path, media_type, example, fields in bodies(document, api):
        for position, field in enumerate(fields):
            for _, value in _some(MALFORMED, position):
                body = body_with(example, field, value)
                answer = api.request(method, path.format(**objects), content=body, headers={"Content-Type": media_type})
                found.add(problem(answer)[:2])
    assert found == {(400, "malformed-body")}


def test_each_query_parameter_is_tested_with_each_kind_of_text(api: httpx.Client, database: Database) -> None:
    document, objects = Document(document_of(api)), belongings(database, str(api.base_url), "acme")
    wrong, tried = [], 0
    for method, path, operation in document.operations:
        for position, parameter in enumerate(operation.get("parameters", ())):
            if parameter["in"] != "query" or parameter["name"] == "label":
                continue
            allows = document.allows(parameter["schema"])
            for text, _ in _some(dict.fromkeys(TEXTS), position):
                tried += 1
                legal = "\0" not in text and any(map(allows, _readings(text)))
                answer = _asked(api, method, path.format(**objects), operation, {parameter["name"]: text})
                if found := flaw(answer, Field((parameter["name"],), {}), legal=legal):
                    wrong.append(f"{method} {path} ?{parameter['name']}={text[:40]!r}: {found}")
    assert not wrong, "\n".join(wrong)
    assert tried > 500 // _STEP


def _asked(api: httpx.Client, method: str, path: str, operation: dict[str, Any], given: dict[str, str]) -> httpx.Response:
    needed = {each["name"]: "text" for each in operation["parameters"] if each.get("required") and each["in"] == "query"}
    needed |= {"source": "local"} if path == "/v1/models/inspect" else {}  # there is no hub here
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in (needed | given).items())
    return api.request(method, f"{path}?{query}", **body_of(document_of(api), operation))


def _readings(text: str) -> list[Any]:
    """What a text of a query may stand for."""
    found: list[Any] = [text, [text]]
    if text in ("true", "1", "false", "0"):
        found.append(True)
    if re.fullmatch(r"-?[0-9]+", text):
        found.append(int(text))
    return found


def test_a_repeated_parameter_does_no_harm(api: httpx.Client, database: Database) -> None:
    objects = belongings(database, str(api.base_url), "acme")
    for method, path, operation in Document(document_of(api)).operations:
        names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        if method == "get" and names:
            query = "&".join(f"{name}=1&{name}=2" for name in names)
            answer = api.get(f"{path.format(**objects)}?{query}")
            assert answer.status_code < 500, (path, answer.text)
