"""API keys, as far as they need no database."""

import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.tenants.keys.operations import find_key
from service.web.authentication import Caller

GOOD = f"dsnot_{'a1' * 6}_{'Ab_-' * 10}xyz"


class _Reached(Exception):
    """The database was asked."""


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    def begin(_: Database) -> None:
        raise _Reached

    monkeypatch.setattr(Database, "begin", begin)
    return Database("postgresql://u:p@127.0.0.1:1/d")


def test_a_well_formed_key_is_looked_up(database: Database) -> None:
    """The secret may hold the sign that separates the parts."""
    with pytest.raises(_Reached):
        find_key(database, GOOD)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "dsnot",
        "dsnot__",
        GOOD[:-1],
        GOOD + "x",
        GOOD.upper(),
        f" {GOOD}",
        f"{GOOD}\n",
        GOOD.replace("a1", "a\0"),
        GOOD[:-1] + "é",
        "_" * 60,
    ],
    ids=["empty", "prefix", "parts", "short", "long", "upper", "space", "newline", "NUL", "accent", "underscores"],
)
def test_a_malformed_key_causes_no_query(database: Database, key: str) -> None:
    assert find_key(database, key) is None


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_allows_itself_only_and_admin_everything(scope: Scope) -> None:
    allowed = {needed for needed in Scope if Caller("t", "k", frozenset({scope})).may(needed)}
    assert allowed == (set(Scope) if scope == Scope.ADMIN else {scope})
