"""Wheels built with a compiler, with one that fails, and with none."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_RUNTIME = Path(__file__).parents[1]
_COMPILER = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo library > "$2"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a copy of the package's sources."""
    return Path(
        shutil.copytree(
            _RUNTIME, tmp_path / "source", ignore=shutil.ignore_patterns("tests", "build", "*.egg-info", "_kernels.*")
        )
    )


def call_backend(source: Path, expression: str, compiler: str = "") -> str:
    """Return what the build backend prints last, where no program is found but one compiler."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PATH", "CC")}
    result = subprocess.run(
        [sys.executable, "-c", f"import backend; print(backend.{expression})"],
        cwd=source,
        env=environment | {"PATH": "", "CC": compiler, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()[-1]


def test_a_wheel_holds_the_library_and_is_tagged_by_platform_alone(source: Path) -> None:
    compiler = source / "compiler"
    compiler.write_text(_COMPILER)
    compiler.chmod(0o755)
    wheel = call_backend(source, "build_wheel('.')", str(compiler))
    assert "-py3-none-" in wheel
    assert not wheel.endswith("-any.whl")
    with zipfile.ZipFile(source / wheel) as archive:
        assert [name for name in archive.namelist() if name.startswith("dsnot_runtime/_kernels.")]


@pytest.mark.parametrize("fails", [False, True])
def test_without_a_working_compiler_a_wheel_holds_python_alone(source: Path, fails: bool) -> None:
    compiler = source / "compiler"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    wheel = call_backend(source, "build_wheel('.')", str(compiler) if fails else "")
    assert fails or wheel.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(source / wheel) as archive:
        assert "dsnot_runtime/kernels.py" in archive.namelist()
        assert not [name for name in archive.namelist() if name.startswith("dsnot_runtime/_kernels.")]


def test_ziglang_is_a_build_requirement_only_without_a_compiler(source: Path) -> None:
    for hook in ("get_requires_for_build_wheel()", "get_requires_for_build_editable()"):
        assert "ziglang" not in call_backend(source, hook, sys.executable)
        assert "ziglang" in call_backend(source, hook)
