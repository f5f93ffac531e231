"""Build backend: setuptools, with ziglang as a build requirement where there is no C compiler."""

import importlib.util
import os
import platform
import shlex
import shutil
import sys
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

_ZIG_MACHINES = ("x86_64", "amd64", "aarch64", "arm64")


def find_compilers() -> list[list[str]]:
    """Return the commands of the C compilers to try, the preferred one first."""
    names = (os.environ.get("CC", ""), "cc", "gcc", "clang")
    commands = [command for name in names if (command := shlex.split(name)) and shutil.which(command[0])]
    if importlib.util.find_spec("ziglang"):
        commands.append([sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"])
    return commands


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return the build requirements of a wheel."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler_requirements()


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """Return the build requirements of an editable installation."""
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler_requirements()


def _compiler_requirements() -> list[str]:
    return [] if find_compilers() or platform.machine().lower() not in _ZIG_MACHINES else ["ziglang"]
