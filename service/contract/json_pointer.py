"""JSON pointers (RFC 6901) of errors in a request body."""

from collections.abc import Sequence


def pointer(location: Sequence[object]) -> str:
    """Return the pointer to the value at `location`; the empty string points to the whole body."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)


def within(body: object, location: Sequence[object], *, missing: bool = False) -> list[object]:
    """Return the steps of pydantic's `location` that exist in `body`.

    pydantic inserts steps that are not in the body, such as the tag of a union member (`recipe, pattern, n:m, n`) or `[key]` for
    the name of an entry; they are dropped. If the error is a `missing` field, the last step names it and is kept.
    """
    found: list[object] = []
    here = body
    for position, step in enumerate(location):
        if _has(here, step):
            here = here[step]  # type: ignore[index]
            found.append(step)
        elif missing and position == len(location) - 1:
            found.append(step)
    return found


def _has(value: object, step: object) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


def steps_of(text: str) -> list[str]:
    """Return the steps of a JSON pointer that is not empty."""
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:]]
