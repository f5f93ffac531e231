"""Tracing of the addends of a matrix's product: the residual stream, or the output of a parallel branch.

A product is followed while it is only reshaped or added to a tensor of its own shape. As soon as the sum is used in any
other operation, such as a norm, it is complete: later additions to it belong to the next step of the block.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.overrides import TorchFunctionMode

Tag = TypeVar("Tag")

_ADDITIONS = {"add", "__add__", "__radd__", "add_", "__iadd__"}
_SAME_NUMBERS = {"view", "reshape", "dropout", "contiguous", "__get__", "size", "dim"}


class Sums(TorchFunctionMode, Generic[Tag]):
    """Torch function mode that reports every addend of a followed product to `found`, in the product's shape."""

    def __init__(self, found: Callable[[Tag, Tensor], None]) -> None:
        super().__init__()
        self._found = found
        self._followed: dict[int, tuple[Tensor, list[tuple[Tag, Tensor]]]] = {}  # tensors are kept alive, so that ids stay unique

    def follow(self, product: Tensor, tag: Tag) -> None:
        """Begin reporting the addends of this product."""
        self._followed[id(product)] = (product, [(tag, product)])

    def forget(self) -> None:
        """Stop following all products."""
        self._followed.clear()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Intercept a torch call."""
        kwargs = kwargs or {}
        touched = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and id(value) in self._followed]
        if not touched:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        parts: list[tuple[Tag, Tensor]] = []
        if name in _ADDITIONS and not kwargs and len(args) == 2 and _is_alike(*args):
            for one, other in (args, args[::-1]):
                parts += self._report(one, other)
        elif name in _SAME_NUMBERS:
            parts = self._followed[id(touched[0])][1]
        for value in touched:
            if name not in _SAME_NUMBERS:
                self._followed.pop(id(value), None)
        result = func(*args, **kwargs)
        if parts and isinstance(result, Tensor):
            self._followed[id(result)] = (result, parts)
        return result

    def _report(self, one: Tensor, other: Tensor) -> list[tuple[Tag, Tensor]]:
        """Report `other` as addend of all products summed in `one`; return these products."""
        _, parts = self._followed.get(id(one), (one, []))
        for tag, product in parts:
            self._found(tag, other.reshape(product.shape))
        return parts


def _is_alike(one: Any, other: Any) -> bool:
    return isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape
