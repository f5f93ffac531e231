"""Rules by which CUDA refuses an operator."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.support.strict_device.tensors import DeviceTensor


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


INDEXED = frozenset({"index", "index_put", "_index_put_impl", "_unsafe_index", "_unsafe_index_put"})
"""Operators whose indices may be on the CPU."""
MOVES = frozenset({"_to_copy", "copy"})
"""Operators between devices."""
WAITING = _words(
    "_local_scalar_dense nonzero masked_select equal bincount unique _unique2 unique_dim unique_consecutive is_nonzero "
    "_linalg_check_errors linalg_eigh _linalg_eigh linalg_eig repeat_interleave multinomial histc"
)
"""Operators that make the host wait for the device."""
_TAKES_CPU_SCALARS = _words(
    "add sub rsub mul div floor_divide true_divide remainder fmod pow atan2 maximum minimum fmax fmin eq ne lt le gt ge "
    "logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor hypot copysign where addcmul fill masked_fill "
    "xlogy logaddexp index_put nextafter"
)
_WHOLE = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})
_HALF = frozenset({torch.float16, torch.bfloat16})
_FACTORISATIONS = _words(
    "linalg_cholesky_ex cholesky_inverse cholesky_solve linalg_solve_triangular _linalg_eigh linalg_inv_ex _linalg_svd "
    "linalg_lu_factor_ex _linalg_solve_ex linalg_qr geqrf triangular_solve"
)
_NO_KERNEL: dict[str, frozenset[torch.dtype]] = {
    **dict.fromkeys(_words("mm bmm addmm baddbmm addmv mv dot _softmax _log_softmax"), _WHOLE),
    **dict.fromkeys(_FACTORISATIONS, _WHOLE | _HALF),
    **dict.fromkeys(_words("topk kthvalue"), frozenset({torch.bool})),
    "bincount": _HALF | {torch.bool, torch.float32, torch.float64},
}
_UNDETERMINED = frozenset({"kthvalue", "histc", "median", "put"})


def check(name: str, args: Any, tensors: Sequence[Tensor]) -> None:
    """Raise what CUDA raises if it does not run the operator on these tensors, of which at least one is on a device."""
    ours = [each for each in tensors if isinstance(each, DeviceTensor)]
    if name not in MOVES:
        _check_devices(name, args, tensors, ours)
        for each in ours:
            if each.dtype in _NO_KERNEL.get(name, ()):
                raise NotImplementedError(f'"{name}_cuda" not implemented for {each.dtype}')
    if name == "mm" and len(args) == 3:
        _check_product(*args)
    if torch.are_deterministic_algorithms_enabled() and _is_undetermined(name, args, ours):
        message = f"{name} cuda does not have a deterministic implementation"
        if not torch.is_deterministic_algorithms_warn_only_enabled():
            raise RuntimeError(message)
        warnings.warn(message, stacklevel=1)


def _check_product(one: Tensor, other: Tensor, out_dtype: torch.dtype) -> None:
    if one.dtype != other.dtype:
        raise RuntimeError("input dtypes must be the same")
    if out_dtype != one.dtype and not (out_dtype == torch.float32 and one.dtype in _HALF):
        raise RuntimeError("out_dtype must be the same as input dtype or fp32 for fp16/bf16 inputs")


def _check_devices(name: str, args: Any, tensors: Sequence[Tensor], ours: Sequence[Tensor]) -> None:
    free: list[Any] = []
    if name in INDEXED:
        if not isinstance(args[0], DeviceTensor):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        free = [index for index in args[1] if index is not None and index.device.type == "cpu"]
    bound = [
        each
        for each in tensors
        if not any(each is index for index in free)
        and not (each.device.type == "cpu" and each.dim() == 0 and name in _TAKES_CPU_SCALARS)
    ]
    found = sorted({str(each.device) for each in (*ours, *bound)})
    if ours and len(found) > 1:
        devices = " and ".join(found)
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {devices}! ({name})")


def _is_undetermined(name: str, args: Any, ours: Sequence[Tensor]) -> bool:
    if name == "cumsum":
        return ours[0].is_floating_point()
    if name == "scatter_add":
        return ours[0].dim() > 1
    return name in _UNDETERMINED or (name == "bincount" and len(args) > 1 and args[1] is not None)
