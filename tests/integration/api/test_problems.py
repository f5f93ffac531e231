"""Types of problems as addresses: each leads to a section of a page that the service itself serves, without a key."""

from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin

import httpx
import pytest

from service.client import Client, NotFound
from service.client.errors import problem_in
from service.contract.failures import FailureCode
from service.contract.scopes import Scope
from service.database.engine import Database
from service.errors import Problem
from service.settings import Settings
from tests.support.api_server import client, key_for, serving
from tests.support.html_pages import Parsed

UNKNOWN = "/v1/jobs/00000000-0000-4000-8000-000000000000"


def subclasses(kind: type[Problem]) -> Iterator[type[Problem]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def section_of(url: str) -> dict[str, str | None]:
    """Return the element to which an address leads, as a browser without a session finds it."""
    address, fragment = urldefrag(url)
    answer = httpx.get(address)
    assert answer.status_code == 200, url
    [section] = [attributes for _, attributes in Parsed(answer.text).elements if attributes.get("id") == fragment]
    return section


@pytest.mark.parametrize("prefix", ["", "/tools/dsnot"])
def test_the_type_of_an_answer_leads_to_its_section(settings: Settings, database: Database, prefix: str) -> None:
    key = key_for(database, Scope.JOBS_READ)
    with serving(settings.model_copy(update={"root_path": prefix})) as url, client(url + prefix, key) as api:
        answers = [api.get(UNKNOWN), api.post("/v1/jobs", json={}), api.get("/v1/jobs?limit=x"), api.patch("/v1/jobs")]
        answers += [
            httpx.get(f"{url}{prefix}/v1/jobs"),
            api.post("/v1/jobs", content=b"{", headers={"Content-Type": "application/json"}),
        ]
        codes = [answer.json()["code"] for answer in answers]
        assert codes == ["not-found", "forbidden", "invalid-input", "method-not-allowed", "unauthenticated", "malformed-body"]
        for answer, code in zip(answers, codes, strict=True):
            assert urljoin(str(answer.url), answer.json()["type"]) == f"{url}{prefix}/errors#{code}"
            section_of(urljoin(str(answer.url), answer.json()["type"]))


def test_every_problem_type_and_failure_code_has_a_section(api: httpx.Client) -> None:
    types = {each("x").body()["type"] for each in subclasses(Problem) if "type" in vars(each)}
    types |= {f"/errors#{code}" for code in FailureCode}
    assert len(types) > 35
    for each in types:
        section_of(urljoin(str(api.base_url), each))


def test_the_page_states_cause_and_remedy_of_a_shared_code_once(api: httpx.Client) -> None:
    text = httpx.get(urljoin(str(api.base_url), "/errors")).text
    section = text[text.index('id="hub-unavailable"') :].partition("</section>")[0]
    assert [section.count(each) for each in ("Status 503", "Failed job", "Usual cause", "Remedy")] == [1, 1, 1, 1]


def test_a_client_reads_the_code_of_an_answer(api: httpx.Client) -> None:
    with (
        Client(str(api.base_url), api.headers["Authorization"].removeprefix("Bearer ")) as caller,
        pytest.raises(NotFound) as caught,
    ):
        caller.jobs.get(UNKNOWN.rpartition("/")[2])
    assert (caught.value.code, caught.value.type) == ("not-found", "/errors#not-found")
    assert problem_in(api.get(UNKNOWN)).code == "not-found"
