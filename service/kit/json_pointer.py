"""JSON pointers (RFC 6901) to what is wrong in a body."""

from collections.abc import Sequence


def pointer(location: Sequence[object]) -> str:
    """The pointer to the value that lies at `location`; of the whole body, the empty string."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)


def within(body: object, location: Sequence[object], *, missing: bool = False) -> list[object]:
    """The part of pydantic's `location` that exists in `body`.

    pydantic puts names of its own between the user's: the tag of a union's member (`recipe, pattern, n:m, n`), `[key]` for the
    name of an entry. They are not in the body and fall away. If the error is that something is `missing`, the last step names it.
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
