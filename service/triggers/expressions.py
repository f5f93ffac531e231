"""JMESPath for filters and placeholders: checked when a trigger is made, and evaluated at a bounded cost.

The language can double a value with every step (`[@, @] | [@, @] | …`), so steps and what they make are counted.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from jmespath import compile as compile_jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import Options, TreeInterpreter

MAX_LENGTH: Final = 1024
_BUDGET: Final = 300_000
"""Steps and values; the largest event has some 30,000 values."""
_TEXT_UNIT: Final = 64
"""So many characters count as one value."""
_MAKES_VALUES: Final = {
    "multi_select_list",
    "multi_select_dict",
    "flatten",
    "function_expression",
    "projection",
    "value_projection",
    "filter_projection",
}
_BROKEN: Final = (JMESPathError, TypeError, ArithmeticError, LookupError, AttributeError, ValueError, RecursionError)
"""What the library raises for expressions and values that do not fit."""


class BadExpression(ValueError):
    """The sentence for whoever wrote it."""


@dataclass(frozen=True)
class Expression:
    """A JMESPath expression that can be read and calls only functions that there are."""

    text: str
    tree: dict[str, Any]


def parse(text: str) -> Expression:
    """Raises BadExpression."""
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"an expression may have {MAX_LENGTH} characters")
    try:
        tree: dict[str, Any] = compile_jmespath(text).parsed
    except _BROKEN as error:
        raise BadExpression(f"is no JMESPath expression: {_first_line(error)}") from None
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if node["type"] == "function_expression" and node["value"] not in Functions.FUNCTION_TABLE:
            raise BadExpression(f"there is no JMESPath function {node['value']}()")
        waiting += [child for child in node.get("children", ()) if isinstance(child, dict)]
    return Expression(text, tree)


class Evaluator:
    """Evaluates any number of expressions against one document, all of them within one budget."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._interpreter = _Bounded()

    def value(self, expression: Expression) -> Any:
        """Raises BadExpression: it does not fit the document, or costs too much."""
        try:
            found = self._interpreter.visit(expression.tree, self._document)
            self._interpreter.spend_on(found)
        except BadExpression:
            raise
        except _BROKEN as error:
            raise BadExpression(f"cannot be evaluated: {_first_line(error)}") from None
        return found

    def holds(self, expression: Expression) -> bool:
        """Whether the value is true as JMESPath has it: not null, not false, not empty."""
        found = self.value(expression)
        return not (found is None or found is False or found in ("", [], {}))


class _Bounded(TreeInterpreter):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(Options(custom_functions=_Functions()))
        self._left = _BUDGET

    def visit(self, node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._spend(1)
        found = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKES_VALUES:
            self.spend_on(found)
        return found

    def spend_on(self, value: Any) -> None:
        """Raises BadExpression also for what JSON cannot say, such as a reference to an expression."""
        waiting = [value]
        while waiting:
            here = waiting.pop()
            self._spend(1)
            if isinstance(here, str):
                self._spend(len(here) // _TEXT_UNIT)
            elif isinstance(here, dict | list):
                waiting += here.values() if isinstance(here, dict) else here
            elif not (here is None or isinstance(here, bool | int) or (isinstance(here, float) and isfinite(here))):
                raise BadExpression("its value is none of JSON")

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise BadExpression("takes too many steps")


class _Functions(Functions):  # type: ignore[misc]
    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        if function_name == "join" and len(resolved_args) == 2 and all(isinstance(each, str | list) for each in resolved_args):
            separator, texts = resolved_args
            if len(separator) * len(texts) > _BUDGET * _TEXT_UNIT:
                raise BadExpression("joins too much text")
        return super().call_function(function_name, resolved_args)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
