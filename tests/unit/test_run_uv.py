"""The variables that uv gets are pip's configuration, in pip's order of precedence."""

import os
from pathlib import Path

import pytest

import run_uv

CONFIGURATION = """\
[global]
index-url = https://mirror.example/simple
extra-index-url =
    https://first.example/simple
    file:///second/simple
find-links = /wheels /more
constraint = /constraints.txt
[install]
timeout = 7
find-links = /installed /wheels
[freeze]
timeout = 9
"""


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration file that overrides those of the machine, and no variables."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "SSL_")):
            monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    file.write_text(CONFIGURATION)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))


@pytest.mark.usefixtures("configuration")
def test_files_are_read_by_section_and_variables_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CERT", "/certificates.crt")
    found = run_uv.environment()
    expected = {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://first.example/simple file:///second/simple",
        "UV_FIND_LINKS": "/installed,/wheels",
        "UV_CONSTRAINT": "/constraints.txt",
        "UV_HTTP_TIMEOUT": "7",
        "SSL_CERT_FILE": "/certificates.crt",
    }
    assert {name: found[name] for name in expected} == expected

    monkeypatch.setenv("PIP_FIND_LINKS", "/named")
    assert run_uv.environment()["UV_FIND_LINKS"] == "/named"


@pytest.mark.usefixtures("configuration")
def test_variables_of_uv_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mine.example/simple")
    assert run_uv.environment()["UV_DEFAULT_INDEX"] == "https://mine.example/simple"
