"""Who may do what: every route of the OpenAPI document against every kind of key."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.keys import ApiKey
from service.errors import NotFound
from service.tenants.keys.operations import create_key, find_key, list_keys, revoke_key
from tests.support.api_server import key_for
from tests.support.openapi_document import belongings, body_of, document_of

OPEN_ROUTES = {("get", "/livez"), ("get", "/readyz")}


def routes(api: httpx.Client) -> dict[tuple[str, str], frozenset[Scope]]:
    """Method and path of every route, and the scopes that the document says it needs."""
    found: dict[tuple[str, str], frozenset[Scope]] = {}
    for path, methods in document_of(api)["paths"].items():
        for method, operation in methods.items():
            needed = [scope for entry in operation.get("security", []) for scopes in entry.values() for scope in scopes]
            found[method, path] = frozenset(Scope(scope) for scope in needed)
    return found


def call(api: httpx.Client, method: str, path: str, objects: dict[str, str], key: str | None) -> httpx.Response:
    unknown = set(re.findall(r"{(\w+)}", path)) - objects.keys()
    assert not unknown, f"register what {unknown} in {path} stands for in belongings()"
    document = document_of(api)
    arguments = body_of(document, document["paths"][path][method])
    arguments["headers"]["Authorization"] = f"Bearer {key}" if key else ""
    return api.request(method, path.format(**objects), **arguments)


def test_every_route_needs_a_key_except_those_for_the_platform(api: httpx.Client) -> None:
    assert {route for route, scope in routes(api).items() if not scope} == OPEN_ROUTES


def test_requests_without_a_valid_key_change_nothing(api: httpx.Client, database: Database) -> None:
    objects = belongings(database, str(api.base_url), "acme")
    key = key_for(database, Scope.ADMIN)
    prefix, key_id, secret = key.split("_", 2)
    other_id = key_for(database, Scope.ADMIN).split("_", 2)[1]
    wrong = {
        "none": None,
        "another secret": f"{prefix}_{key_id}_{secret[::-1]}",
        "another key's secret": f"{prefix}_{other_id}_{secret}",
        "unknown id": f"{prefix}_{'0' * 12}_{secret}",
        "shortened": key[:-1],
        "lengthened": f"{key}A",
        "another prefix": f"x{key}",
        "a new line": f"{prefix}_{key_id}_{secret[:-1]}%0A",
        "no key at all": "nonsense",
    }
    for method, path in routes(api).keys() - OPEN_ROUTES:
        for kind in ("none", "another secret"):
            response = call(api, method, path, objects, wrong[kind])
            assert (response.status_code, response.json()["code"]) == (401, "unauthenticated"), (kind, path)
            assert response.headers["www-authenticate"].startswith("Bearer")
    assert {kind: call(api, "get", "/v1/jobs", objects, given).status_code for kind, given in wrong.items()} == dict.fromkeys(
        wrong, 401
    )
    assert api.get("/v1/jobs", headers={"Authorization": f"Basic {key}"}).status_code == 401
    assert api.get("/v1/jobs", headers={"Authorization": f"bearer {key}"}).status_code == 200


def test_a_key_authorizes_exactly_the_routes_of_its_scopes(api: httpx.Client, database: Database) -> None:
    of_reads = belongings(database, str(api.base_url), "reads")
    for (method, path), needed in routes(api).items():
        if not needed:
            continue
        tenant = "reads" if method == "get" else uuid4().hex  # what another method changes, a read may not find
        objects = of_reads if method == "get" else belongings(database, str(api.base_url), tenant)
        held = {*(frozenset({scope}) for scope in Scope), needed}
        for scopes in sorted(held, key=lambda each: (Scope.ADMIN in each, each >= needed)):  # who may do it comes last
            response = call(api, method, path, objects, key_for(database, *scopes, tenant=tenant))
            if scopes == needed and not path.endswith(("/artifacts", "/artifacts/{path}")):  # there are no files of it here
                assert response.status_code not in (401, 403, 404), (method, path, scopes)
            elif scopes >= needed or Scope.ADMIN in scopes:  # a second time it may be gone
                assert response.status_code not in (401, 403), (method, path, scopes)
            else:
                assert (response.status_code, response.json()["code"]) == (403, "forbidden"), (path, scopes)


def test_objects_of_another_tenant_are_not_found(api: httpx.Client, database: Database) -> None:
    objects = belongings(database, str(api.base_url), "other")
    key = key_for(database, Scope.ADMIN)
    found = {(method, path): call(api, method, path, objects, key) for method, path in routes(api) if "{" in path}
    assert {route: answer.status_code for route, answer in found.items()} == dict.fromkeys(found, 404)


def test_no_list_includes_objects_of_another_tenant(api: httpx.Client, database: Database) -> None:
    objects = belongings(database, str(api.base_url), "other")
    for method, path in routes(api).keys() - OPEN_ROUTES:
        if method == "get" and "{" not in path:
            shown = api.get(path).text
            assert [name for name, given in objects.items() if name.endswith("_id") and given in shown] == [], path
    assert api.get("/v1/jobs").json()["items"] == api.get("/v1/webhooks").json()["items"] == []


def test_a_key_is_valid_until_it_is_revoked(api: httpx.Client, database: Database) -> None:
    key, plaintext = create_key(database, tenant="acme", name="ci", scopes=[Scope.JOBS_READ])
    headers = {"Authorization": f"Bearer {plaintext}"}
    assert api.get("/v1/jobs", headers=headers).status_code == 200
    revoked = revoke_key(database, key.id)
    assert api.get("/v1/jobs", headers=headers).status_code == 401
    assert revoke_key(database, key.id).revoked_at == revoked.revoked_at
    with pytest.raises(NotFound):
        revoke_key(database, "0" * 12)


def test_a_key_is_valid_until_it_expires(database: Database) -> None:
    now = datetime.now(UTC)
    _, lasting = create_key(database, tenant="a", name="x", scopes=[Scope.ADMIN], expires_at=now + timedelta(minutes=1))
    _, expired = create_key(database, tenant="a", name="x", scopes=[Scope.ADMIN], expires_at=now - timedelta(seconds=1))
    assert find_key(database, lasting) is not None
    assert find_key(database, expired) is None


def test_the_secret_of_a_key_is_not_stored(database: Database) -> None:
    _, plaintext = create_key(database, tenant="acme", name="ci", scopes=[Scope.ADMIN])
    secret = plaintext.split("_", 2)[2].encode()
    with database.begin() as session:
        row = session.query(ApiKey).one()
        assert all(secret not in str(value).encode() for value in vars(row).values())
        assert secret not in row.secret_sha256


def test_the_keys_of_a_tenant_are_listed_newest_first(database: Database) -> None:
    made = [create_key(database, tenant="acme", name=name, scopes=[Scope.ADMIN])[0].id for name in ("a", "b")]
    create_key(database, tenant="other", name="c", scopes=[Scope.ADMIN])
    assert [key.id for key in list_keys(database, "acme")] == made[::-1]


@pytest.mark.parametrize("wrong", [{"scopes": []}, {"tenant": ""}, {"expires_at": datetime(2030, 1, 1)}])  # noqa: DTZ001
def test_an_invalid_key_is_not_created(database: Database, wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"tenant": "acme", "name": "x", "scopes": [Scope.ADMIN]} | wrong
    with pytest.raises(ValueError, match="needs"):
        create_key(database, **arguments)  # type: ignore[arg-type]
    assert list_keys(database, "acme") == []
