"""Seeing every product of inputs with a matrix, in whatever way a family writes it down.

A layer may multiply by `nn.Linear`, `Conv1D`, a slice of a 3-D parameter, or by all slices at once; what stays the same
is that one factor is a view of the parameter. So all calls into torch are watched, and a factor is looked up by where it
lies in memory. As a matrix is looked up the way it is to be read, (out, in), a family that holds it the other way round
than assumed is not found, rather than pruned along the wrong axis.

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
_ADDED = {"addmm", "baddbmm"}  # a summand first


def place(view: Tensor) -> Place:
    """Where in memory the numbers of a view lie."""
    return (view.untyped_storage().data_ptr(), int(view.storage_offset()), tuple(view.shape), view.stride())


@dataclass(frozen=True)
class Operands:
    """The factors of a product x Wᵀ, and whether that is what the call gives, rather than W xᵀ."""

    x: Tensor
    weight: Tensor
    is_result: bool


def operands(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], storages: Container[int]
) -> Operands | None:
    """Of a call into torch, if it is a product with something that lies in one of these storages."""
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
    """While it is entered, tells `see` of every product x Wᵀ with a matrix of `matrices` as its W.

    `see` gets what the matrix is called, its inputs (..., in), what tells these inputs from all others as long as they
    are kept, and whether they are one slice of a stack. `made`, if given, then gets what each matrix is called that is
    no slice, and the product (..., out).
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
        """Every call into torch passes here."""
        kwargs = kwargs or {}
        found = operands(func, args, kwargs, self._storages)
        matrix = None if found is None else self._look(found.x, found.weight)
        result = func(*args, **kwargs)
        if found is not None and found.is_result and matrix is not None and self._made is not None:
            self._made(matrix, result)
        return result

    def _look(self, x: Tensor, weight: Tensor) -> str | None:
        """Tell of a product; the matrix, if it is no slice."""
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
