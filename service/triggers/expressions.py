"""JMESPath expressions for filters and placeholders: validated at creation, evaluated with a bounded cost.

Each step of an expression can double a value (`[@, @] | [@, @] | …`), so steps and resulting values are counted.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from jmespath import compile as compile_jmespath
from jmespath.exceptions import (
    ArityError,
    EmptyExpressionError,
    IncompleteExpressionError,
    JMESPathError,
    JMESPathTypeError,
    ParseError,
    VariadictArityError,
)
from jmespath.functions import Functions
from jmespath.visitor import Options, TreeInterpreter

MAX_LENGTH: Final = 1024
_BUDGET: Final = 300_000
"""Maximum of steps and values; the largest event has some 30,000 values."""
_TEXT_UNIT: Final = 64
"""Number of characters that count as one value."""
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
"""Exceptions of the library for invalid expressions and values."""


class BadExpression(ValueError):
    """Invalid expression; the message is for its author."""


@dataclass(frozen=True)
class Expression:
    """Parsed JMESPath expression that calls only known functions."""

    text: str
    tree: dict[str, Any]


def parse(text: str) -> Expression:
    """Return the parsed expression. Raise BadExpression."""
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"has more than {MAX_LENGTH} characters")
    try:
        tree: dict[str, Any] = compile_jmespath(text).parsed
    except _BROKEN as error:
        raise BadExpression(f"is not a valid JMESPath expression: {_flaw(error)}") from None
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if node["type"] == "function_expression" and node["value"] not in Functions.FUNCTION_TABLE:
            raise BadExpression(f"calls the unknown JMESPath function {node['value']}()")
        waiting += [child for child in node.get("children", ()) if isinstance(child, dict)]
    return Expression(text, tree)


class Evaluator:
    """Evaluator of expressions on one document, with a shared budget."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._interpreter = _Bounded()

    def value(self, expression: Expression) -> Any:
        """Return the expression's value. Raise BadExpression if it fails on the document or exceeds the budget."""
        try:
            found = self._interpreter.visit(expression.tree, self._document)
            self._interpreter.spend_on(found)
        except BadExpression:
            raise
        except _BROKEN as error:
            raise BadExpression(f"cannot be evaluated: {_flaw(error)}") from None
        return found

    def holds(self, expression: Expression) -> bool:
        """Return whether the value is truthy in JMESPath: not null, false or empty."""
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
        """Charge for a value. Raise BadExpression at the limit, and for values outside JSON such as expression references."""
        waiting = [value]
        while waiting:
            here = waiting.pop()
            self._spend(1)
            if isinstance(here, str):
                self._spend(len(here) // _TEXT_UNIT)
            elif isinstance(here, dict | list):
                waiting += here.values() if isinstance(here, dict) else here
            elif not (here is None or isinstance(here, bool | int) or (isinstance(here, float) and isfinite(here))):
                raise BadExpression("has a value that JSON cannot represent")

    def _spend(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise BadExpression("exceeds the evaluation budget; simplify it")


class _Functions(Functions):  # type: ignore[misc]
    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        """Call a built-in function; `join` is checked before it allocates."""
        if function_name == "join" and len(resolved_args) == 2 and all(isinstance(each, str | list) for each in resolved_args):
            separator, texts = resolved_args
            if len(separator) * len(texts) > _BUDGET * _TEXT_UNIT:
                raise BadExpression("joins too much text; shorten it")
        return super().call_function(function_name, resolved_args)


def _flaw(error: Exception) -> str:
    """Return in our words why the library refuses an expression or its values."""
    match error:
        case EmptyExpressionError():
            return "it is empty"
        case ArityError():
            least = "at least " if isinstance(error, VariadictArityError) else ""
            return f"{error.function_name}() takes {least}{error.expected_arity} argument(s), not {error.actual_arity}"
        case IncompleteExpressionError() | ParseError(token_type="EOF"):
            return "it ends too early"
        case ParseError():
            return f"character {error.lex_position + 1} cannot stand there"
        case JMESPathTypeError():
            return f"{error.function_name}() takes {' or '.join(error.expected_types)}, not {error.actual_type}"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return "its values do not fit its operations"
