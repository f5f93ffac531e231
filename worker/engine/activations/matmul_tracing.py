"""Tracing of every product of inputs with a matrix, independent of how a model family implements it.

A layer may multiply by `nn.Linear`, `Conv1D`, a slice of a 3-D parameter, or by all slices at once; in each case one
factor is a view of the parameter. So all torch calls are intercepted, and a factor is looked up by its memory location.
The lookup includes the orientation (out, in): a matrix stored in the other orientation than assumed is not found, rather
than pruned along the wrong axis.

Axes:   x (..., tokens, in), W (out, in), stacks (matrices, out, in); result x Wᵀ
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

Place = tuple[int, int, tuple[int, ...], tuple[int, ...]]

_LINEAR = {"linear", "_linear_pointwise"}  # x, (out, in)
_MATMUL = {"matmul", "mm", "bmm", "__matmul__"}  # x, (in, out), or the other way round
_ADDED = {"addmm", "baddbmm"}  # first argument is the summand


def place(view: Tensor) -> Place:
    """Return the memory location of a view: address, offset, shape, strides."""
    return (view.untyped_storage().data_ptr(), int(view.storage_offset()), tuple(view.shape), view.stride())


@dataclass(frozen=True)
class Operands:
    """Factors of a product x Wᵀ; `is_result` is False if the call computes W xᵀ instead."""

    x: Tensor
    weight: Tensor
    is_result: bool


def operands(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], storages: Container[int]
) -> Operands | None:
    """Return the operands of a torch call if it is a product with a tensor in one of these storages, else None."""
    name = getattr(func, "__name__", "")
    if not (name in _LINEAR or name in _MATMUL or name in _ADDED):
        return None
    factors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    first, second = factors[1:3] if name in _ADDED else factors[:2]

    def is_known(factor: Tensor) -> bool:
        return factor.ndim > 1 and factor.untyped_storage().data_ptr() in storages

    if is_known(second):
        return Operands(first, second if name in _LINEAR else second.transpose(-1, -2), is_result=True)
    if name not in _LINEAR and is_known(first) and second.ndim > 1:
        return Operands(second.transpose(-1, -2), first, is_result=False)
    return None


class Products(TorchFunctionMode):
    """Torch function mode that reports every product x Wᵀ whose W is in `matrices` to `see`.

    `see` gets the matrix's name, its inputs (..., in), a key that identifies the inputs while they are kept alive, and
    whether W is one slice of a stack. `made`, if given, then gets the name and the product (..., out) of each matrix
    that is not a slice.
    """

    def __init__(
        self,
        matrices: Mapping[Place, str],
        see: Callable[[str, Tensor, tuple[Any, ...], bool], None],
        made: Callable[[str, Tensor], None] | None = None,
    ) -> None:
        super().__init__()
        self._matrices = matrices
        self._storages = {key[0] for key in matrices}
        self._see = see
        self._made = made

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Intercept a torch call."""
        kwargs = kwargs or {}
        found = operands(func, args, kwargs, self._storages)
        matrix = None if found is None else self._look(found.x, found.weight)
        result = func(*args, **kwargs)
        if found is not None and found.is_result and matrix is not None and self._made is not None:
            self._made(matrix, result)
        return result

    def _look(self, x: Tensor, weight: Tensor) -> str | None:
        """Report a product; return the matrix's name if it is not a slice."""
        inputs = (*place(x), x._version)
        if weight.ndim == 2:
            return self._tell(weight, x, inputs, is_slice=False)
        if weight.ndim == 3:
            for index, matrix in enumerate(weight):
                part = x if x.ndim == 2 else x[index if len(x) > 1 else 0]
                self._tell(matrix, part, (*inputs, index), is_slice=True)
        return None

    def _tell(self, weight: Tensor, x: Tensor, inputs: tuple[Any, ...], *, is_slice: bool) -> str | None:
        name = self._matrices.get(place(weight))
        if name is not None:
            self._see(name, x, inputs, is_slice)
        return name
