"""Templates: the body of a job or a sweep with placeholders `${{ expression }}` in its strings, filled in from an event.

A string that consists of one placeholder becomes the value, of any type; within a longer string the value is inserted as text.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from service.contract.json_pointer import pointer
from service.contract.spec import JobSpec
from service.contract.sweeps import SweepSpec
from service.contract.triggers import TRIGGER_LABEL, Started
from service.contract.validation_errors import errors_of
from service.errors import InvalidInput
from service.kit import strict_json
from service.sweeps.operations import expanded
from service.triggers.expressions import BadExpression, Evaluator, Expression, parse

_OPENING, _CLOSING = "${{", "}}"
_UNTERMINATED: Final = "has an unterminated placeholder; end it with }}, and write } } for two braces inside an expression"
_MAX_PLACEHOLDERS: Final = 64
_BODIES: Final[dict[Started, type[JobSpec] | type[SweepSpec]]] = {"job": JobSpec, "sweep": SweepSpec}

Body = dict[str, Any]
Location = tuple[object, ...]


def check(template: Body, trigger_id: UUID, starts: Started, *, at: str = "/template") -> None:
    """Raise InvalidInput for a template that cannot form a valid job or sweep, as far as can be checked without an event.

    Raises:
        InvalidInput: with pointers that begin with `at`.
    """
    errors = [{"pointer": pointer(where), "detail": detail} for where, detail in _flaws(template)]
    if not errors:
        placeholders = [pointer(where) for where, text in _texts(template) if _OPENING in text]
        found = _errors(_in_job(_labelled(template, trigger_id, starts), starts, _with_sample_model), starts)
        errors = [error for error in found if not any(_lies_at(error["pointer"], each) for each in placeholders)]
    if errors:
        errors = [{**error, "pointer": at + error["pointer"]} for error in errors]
        raise InvalidInput("; ".join(f"{each['pointer']}: {each['detail']}" for each in errors[:3]), errors=errors)


def fill(template: Body, evaluator: Evaluator, trigger_id: UUID, starts: Started) -> JobSpec | SweepSpec:
    """Return the job or sweep of an event; a sweep's points are checked by its admission.

    Raises:
        InvalidInput: with pointers into the body, which equal those into the template.
    """
    body = _labelled(_filled(template, evaluator, ()), trigger_id, starts)
    strict_json.check(body)
    try:
        return _BODIES[starts].model_validate(body)
    except ValidationError as error:
        errors = errors_of(error, body)
        sentences = "; ".join(f"{each['pointer']}: {each['detail']}" for each in errors[:3])
        raise InvalidInput(f"the template filled with the event is not a valid {starts}: {sentences}", errors=errors) from None


def _labelled(body: Body, trigger_id: UUID, starts: Started) -> Body:
    """Return the body with the label that identifies the trigger's jobs."""

    def with_label(job: Body) -> Body:
        labels = job.get("labels", {})
        return {**job, "labels": {**labels, TRIGGER_LABEL: str(trigger_id)}} if isinstance(labels, dict) else job

    return _in_job(body, starts, with_label)


def _in_job(body: Body, starts: Started, change: Callable[[Body], Body]) -> Body:
    """Return the body with its job changed: the body itself, or the template of a sweep."""
    if starts == "job":
        return change(body)
    job = body.get("template")
    return {**body, "template": change(job)} if isinstance(job, dict) else body


def _with_sample_model(job: Body) -> Body:
    """Return the job with a name instead of each placeholder in its model, so that the rules about several fields are checked."""
    model = job.get("model")
    if not isinstance(model, dict):
        return job
    return {**job, "model": {name: "sample" if _OPENING in str(value) else value for name, value in model.items()}}


def _flaws(template: Body) -> Iterator[tuple[Location, str]]:
    """Yield location and detail of each invalid placeholder, up to the first text that is unterminated or exceeds the limit."""
    count = 0
    for where, text in _texts(template):
        try:
            for _, expression in _pieces(text):
                if expression is None:
                    continue
                count += 1
                if count > _MAX_PLACEHOLDERS:
                    yield (), f"has more than {_MAX_PLACEHOLDERS} placeholders; use fewer"
                    return
                yield from ((where, detail) for detail in _mistakes(expression))
        except _Unterminated:
            yield where, _UNTERMINATED
            return
    for where, name in _names(template):
        if _OPENING in name:
            yield where, "placeholders are not allowed in names"


def _mistakes(expression: str) -> Iterator[str]:
    try:
        parse(expression.strip())
    except BadExpression as error:
        yield f"{_shown(expression)} {error}"


class _Unterminated(ValueError):
    """Placeholder without an end."""


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield literal text and the expression after it, None at the end; in one pass. Raise _Unterminated."""
    at = 0
    while (begin := text.find(_OPENING, at)) >= 0:
        end = text.find(_CLOSING, begin + len(_OPENING))
        if end < 0:
            raise _Unterminated
        yield text[at:begin], text[begin + len(_OPENING) : end]
        at = end + len(_CLOSING)
    yield text[at:], None


def _filled(value: Any, evaluator: Evaluator, where: Location) -> Any:
    if isinstance(value, dict):
        return {name: _filled(member, evaluator, (*where, name)) for name, member in value.items()}
    if isinstance(value, list):
        return [_filled(member, evaluator, (*where, position)) for position, member in enumerate(value)]
    if not isinstance(value, str) or _OPENING not in value:
        return value
    try:
        pieces = list(_pieces(value))
    except _Unterminated:
        raise _refused(where, _UNTERMINATED) from None
    match pieces:
        case [("", str(expression)), ("", None)]:
            return _value(expression, evaluator, where)
    return "".join(text if each is None else text + _as_text(each, evaluator, where) for text, each in pieces)


def _value(text: str, evaluator: Evaluator, where: Location) -> Any:
    try:
        found = evaluator.value(_expression(text))
    except BadExpression as error:
        raise _refused(where, f"{_shown(text)} {error}") from None
    if found is None:
        raise _refused(where, f"{_shown(text)} has no value in the event; append `|| 'default'` for a default")
    return found


def _as_text(text: str, evaluator: Evaluator, where: Location) -> str:
    found = _value(text, evaluator, where)
    if isinstance(found, dict | list):
        raise _refused(
            where, f"{_shown(text)} is a {'list' if isinstance(found, list) else 'object'}, which a string cannot contain"
        )
    return str(found).lower() if isinstance(found, bool) else str(found)


def _expression(text: str) -> Expression:
    return parse(text.strip())


def _shown(text: str) -> str:
    shown = text.strip()
    return f"${{{{ {shown if len(shown) <= 80 else shown[:80] + '…'} }}}}"


def _refused(where: Location, detail: str) -> InvalidInput:
    return InvalidInput(f"{pointer(where)}: {detail}", errors=[{"pointer": pointer(where), "detail": detail}])


def _errors(body: Body, starts: Started) -> list[dict[str, str]]:
    try:
        made = _BODIES[starts].model_validate(body)
        if isinstance(made, SweepSpec):
            expanded(made)
    except ValidationError as error:
        return errors_of(error, body)
    except InvalidInput as error:
        return error.errors or []
    return []


def _lies_at(where: str, placeholder: str) -> bool:
    return where == placeholder or where.startswith(f"{placeholder}/")


def _texts(value: Any, where: Location = ()) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict | list):
        for step, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(member, (*where, step))


def _names(value: Any, where: Location = ()) -> Iterator[tuple[Location, str]]:
    if isinstance(value, dict | list):
        for step, member in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(step, str):
                yield (*where, step), step
            yield from _names(member, (*where, step))
