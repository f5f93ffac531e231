"""Loading of the C kernels, and of the OpenMP runtime whose threads they share with PyTorch."""

import ctypes
import sys
from pathlib import Path

import torch

_SUFFIX = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
PATH = Path(__file__).with_name(f"_kernels.{_SUFFIX}")

_POINTER, _INT, _INT64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_SIGNATURES = {
    "kernels_init": (None, [_POINTER]),
    "kernels_name": (ctypes.c_char_p, [_INT]),
    "kernels_supported": (_INT, [_INT]),
    "kernels_tiles": (_INT, [_INT]),
    "kernels_mask": (_INT64, [_INT, _INT, _POINTER, _INT64, _INT64, _INT, _POINTER, _POINTER]),
    "kernels_pack": (None, [_INT, _INT, _POINTER, _INT64, _INT64, _INT, _POINTER, _POINTER, _POINTER]),
    "kernels_unpack": (None, [_INT, _INT, *[_POINTER] * 5, _INT64, _INT64, _INT, _INT]),
    "kernels_quantize": (None, [_INT, _INT, _POINTER, _POINTER, _INT64, _INT, _POINTER, _POINTER]),
    "kernels_matmul": (_INT, [_INT, _INT, *[_POINTER] * 6, _INT64, _INT64, _INT64, _INT, _INT]),
}


class _SymbolInformation(ctypes.Structure):
    """`Dl_info` of `dladdr`."""

    _fields_ = (("file", ctypes.c_char_p), ("base", _POINTER), ("symbol", ctypes.c_char_p), ("address", _POINTER))


def load() -> tuple[ctypes.CDLL, str] | None:
    """Return the library of kernels and the file of its threads, or None where it was not built or does not load."""
    try:
        library = ctypes.CDLL(str(PATH))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    address, file = _find_threads()
    library.kernels_init(address)
    return library, file


def _find_threads() -> tuple[int | None, str]:
    """Return the address and file of the `GOMP_parallel` that PyTorch calls; libgomp, libiomp5 and libomp export it.

    The search order is the dynamic linker's for PyTorch: first the global scope, then PyTorch's dependencies.
    """
    if sys.platform == "win32":
        return None, ""
    torch_library = Path(torch.__file__).parent / "lib" / f"libtorch_cpu.{_SUFFIX}"
    for scope in (None, str(torch_library)):
        try:
            address = ctypes.cast(ctypes.CDLL(scope).GOMP_parallel, _POINTER).value
        except (OSError, AttributeError):
            continue
        information = _SymbolInformation()
        ctypes.CDLL(None).dladdr(_POINTER(address), ctypes.byref(information))
        return address, (information.file or b"").decode(errors="replace")
    return None, ""
