"""Build of the C kernels: one shared library in the package, independent of the version of Python.

Without a C compiler the package is installed without it and uses PyTorch operations.
"""

import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

from backend import find_compilers

_COMPILERS = find_compilers()
_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
_FLAGS = ["-std=c11", "-O3", "-shared", "-fvisibility=hidden", *([] if sys.platform == "win32" else ["-fPIC"])]


class BuildKernels(build_ext):
    """Compilation by one command; functions name their instruction sets themselves, and the processor's are found at run time."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of the library within the installation."""
        return str(Path(*fullname.split("."))) + _SUFFIX

    def build_extension(self, ext: Extension) -> None:
        """Compile with the first compiler that can."""
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        messages = []
        for compiler in _COMPILERS:
            command = [*compiler, *_FLAGS, "-o", str(target), *ext.sources]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                return
            messages.append(f"{' '.join(compiler)}: {result.stderr.strip()}")
        raise CompileError("No C compiler builds the kernels, so PyTorch operations are used.\n" + "\n".join(messages))


class WheelOfAnyPython(bdist_wheel):
    """Tag by platform alone: the library does not use Python's C API."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags of interpreter, ABI and platform."""
        tags: tuple[str, str, str] = super().get_tag()
        return tags if self.root_is_pure else ("py3", "none", tags[2])


_KERNELS = Extension(
    "dsnot_runtime._kernels",
    sources=sorted(str(path) for path in Path("csrc").glob("*.c")),
    depends=sorted(str(path) for path in Path("csrc").glob("*.h")),
    optional=True,
)

setup(ext_modules=[_KERNELS] if _COMPILERS else [], cmdclass={"build_ext": BuildKernels, "bdist_wheel": WheelOfAnyPython})
