"""JSON pointers from pydantic's locations."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.json_pointer import pointer, within


def resolve(document: Any, given_pointer: str) -> Any:
    """RFC 6901, section 4, word for word."""
    for token in given_pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


@given(st.lists(st.text(max_size=5), max_size=5))
def test_a_pointer_resolves_to_its_path(steps: list[str]) -> None:
    target = object()
    document: Any = target
    for step in reversed(steps):
        document = {step: document}
    assert resolve(document, pointer(steps)) is target


@pytest.mark.parametrize(
    ("location", "missing", "expected"),
    [
        (("recipe", "pattern", "n:m", "n"), False, ["recipe", "pattern", "n"]),
        (("recipe", "pattern", "n:m", "m"), True, ["recipe", "pattern", "m"]),
        (("recipe", "pattern", "n:m"), False, ["recipe", "pattern"]),
        (("labels", "a b", "[key]"), False, ["labels", "a b"]),
        (("list", 1), False, ["list", 1]),
        (("model",), True, ["model"]),
        ((), False, []),
    ],
)
def test_only_steps_into_the_body_are_kept(location: tuple[object, ...], missing: bool, expected: list[object]) -> None:
    body = {"recipe": {"pattern": {"type": "n:m", "n": 4}}, "labels": {"a b": 1}, "list": [0, 1]}
    assert within(body, location, missing=missing) == expected


@pytest.mark.parametrize("body", [None, "text", [], 7])
def test_a_body_that_is_no_container_has_no_steps(body: object) -> None:
    assert within(body, ("model", "id")) == []
