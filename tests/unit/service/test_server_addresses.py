"""URLs of database and broker: every library reads them alike, and no error contains a part of a password."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.broker.address import broker_address
from service.database.address import DatabaseAddress
from service.database.connecting import arguments_of
from service.settings import DatabaseSettings, Settings, problems_of

PASSWORDS = ("pa@s5w", "pa/s5w", "pa?s5w", "pa@s5w/x", "pa%zzs5w", "pa@s5w:9")
"""As nobody should write them into a URL."""


def chain(raised: pytest.ExceptionInfo[BaseException]) -> str:
    """All that a log would show of the error."""
    return "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("ending", ["@host/db", "@host:5432/db", "@host"])
def test_a_password_that_is_not_percent_encoded_is_refused_without_a_part_of_it(password: str, ending: str) -> None:
    with pytest.raises(ValueError, match="percent-encode") as raised:
        DatabaseAddress.of(f"postgresql://user:{password}{ending}")
    assert "s5w" not in chain(raised)


@pytest.mark.parametrize("password", [*PASSWORDS[:4], "pa#s5w", "pa[s5w"])
@pytest.mark.parametrize("ending", ["@host/0", "@host:6379/0", "@host"])
def test_a_password_of_the_broker_that_is_not_percent_encoded_is_refused_without_a_part_of_it(password: str, ending: str) -> None:
    with pytest.raises(ValueError, match="percent-encode") as raised:
        broker_address(f"redis://:{password}{ending}")
    assert "s5w" not in chain(raised)


@pytest.mark.parametrize(
    ("check", "url"),
    [
        (DatabaseAddress.of, "s5word"),
        (DatabaseAddress.of, "postgresql://user:s5word"),
        (DatabaseAddress.of, "postgresql://user:x@host/db?password2=s5word"),
        (DatabaseAddress.of, "mysql://user:s5word@host/db"),
        (DatabaseAddress.of, "postgresql://user:s5word@/db?host=a:1&host=b:1"),
        (broker_address, "s5word"),
        (broker_address, "redis://:s5word"),
        (broker_address, "redis://user:s5word"),
        (broker_address, "amqp://:s5word@host"),
        (broker_address, "redis://:x@host/s5word"),
        (broker_address, "redis://:s5word@host/0?ssl_ca_certs=/x"),
        (broker_address, "rediss://:s5word@host/0?ssl_cert_reqs=s5word"),
    ],
)
def test_an_invalid_url_is_refused_without_a_part_of_it(check: Callable[[str], object], url: str) -> None:
    with pytest.raises(ValueError, match=r"is|has|names") as raised:
        check(url)
    assert "s5word" not in chain(raised)


def test_a_database_url_is_read_as_libpq_reads_it() -> None:
    url = "postgresql+psycopg://u%40x:p%2Fw@h1:1,h2:2/d?options=-csearch_path%3Dours&target_session_attrs=read-write\n"
    arguments = arguments_of(DatabaseAddress.of(url))
    options = arguments.pop("options")
    assert options.startswith("-csearch_path=ours -c timezone=UTC -c datestyle=ISO,\\ MDY")
    wanted = {
        "user": "u@x",
        "password": "p/w",
        "host": "h1,h2",
        "port": "1,2",
        "dbname": "d",
        "target_session_attrs": "read-write",
    }
    assert wanted.items() <= arguments.items()
    assert "p/w" not in repr(DatabaseAddress.of(url))


@pytest.mark.parametrize("value", ["CERT_NONE", "none", "None"])
def test_both_spellings_of_certificate_checks_are_accepted(value: str) -> None:
    assert broker_address(f"rediss://:p@h:1/0?ssl_cert_reqs={value}") == "rediss://:p@h:1/0?ssl_cert_reqs=none"


def test_certificates_of_the_broker_are_checked_by_default(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    assert broker_address("rediss://h") == "rediss://h?ssl_cert_reqs=required"
    assert broker_address(f"rediss://h/1?ssl_ca_certs={ca}") == f"rediss://h/1?ssl_ca_certs={ca}&ssl_cert_reqs=required"
    with pytest.raises(ValueError, match="`ssl_ca_certs` that does not exist"):
        broker_address("rediss://h/1?ssl_ca_certs=/nowhere")


PLACES: dict[str, Any] = {
    "database_url": "postgresql://u:good@h/d",
    "broker_url": "redis://:good@h/0",
    "artifact_url": "file:///x",
    "model_root": "/x",
    "cache_dir": "/x",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database_url", "postgresql://u:pa@s5@h/d"),
        ("database_direct_url", "postgresql://u:s5word@h:p/d"),
        ("broker_url", "redis://:pa#s5@h/0"),
        ("secret_key", "s5word"),
    ],
)
def test_settings_name_the_variable_and_no_part_of_its_value(field: str, value: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate(PLACES | {field: value})
    (problem,) = problems_of(raised.value)
    assert problem.startswith(f"DSNOT_{field.upper()}: ")
    assert "s5" not in problem + chain(raised)


def test_a_direct_url_makes_the_other_one_a_poolers() -> None:
    both = DatabaseSettings.model_validate(
        {"database_url": "postgresql://h:6432/d", "database_direct_url": "postgresql://h:5432/d"}
    )
    assert both.database_address.is_pooled
    assert "options" not in arguments_of(both.database_address)
    assert arguments_of(both.direct_address)["port"] == "5432"
    with pytest.raises(ValidationError, match="DSNOT_DATABASE_URL: has `options`"):
        DatabaseSettings.model_validate(
            {"database_url": "postgresql://h/d?options=-cx%3Dy", "database_direct_url": "postgresql://h/d"}
        )
    assert not DatabaseSettings.model_validate(
        {"database_url": "postgresql://h/d", "database_direct_url": ""}
    ).database_address.is_pooled
