"""Page with a section for every problem type and failure code, to which `type` of a problem refers; no key required."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from service.contract.explanations import EXPLANATIONS, Explanation
from service.contract.failures import GPU_LOST, FailureCode
from service.dashboard.rendering import fragment, page
from service.errors import TYPE_PAGE, Problem

router: Final = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class ErrorEntry:
    """Description of one problem type, failure code, or both."""

    code: str
    meanings: tuple[tuple[str, str], ...]
    """Place where it occurs, such as `422`, and its meaning there."""
    explanation: Explanation


@router.get(TYPE_PAGE)
def show_errors(request: Request) -> Response:
    """Show the meaning, usual cause and remedy of every error."""
    return page(request, "errors.html", entries=_entries())


@lru_cache(maxsize=1)
def _entries() -> Markup:
    return fragment("error_entries.html", entries=error_entries())


def error_entries() -> list[ErrorEntry]:
    """Return an entry for each problem type of the imported modules and each failure code, by code."""
    meanings: dict[str, list[tuple[str, str]]] = {GPU_LOST: [("Ended attempt", "The GPU of the attempt failed.")]}
    for kind in {each.type: each for each in _problems(Problem)}.values():
        meanings.setdefault(kind.type, []).append((f"Status {kind.status}", f"{kind.title}."))
    for code in FailureCode:
        place = "Failed job, after retries" if code.retryable else "Failed job, not retried"
        meanings.setdefault(code, []).append((place, code.sentence))
    return [ErrorEntry(str(code), tuple(found), EXPLANATIONS[code]) for code, found in sorted(meanings.items())]


def _problems(base: type[Problem]) -> Iterator[type[Problem]]:
    """Yield the subclasses that have a type, the one that defines it last of those that share it."""
    for kind in base.__subclasses__():
        yield from _problems(kind)
        if hasattr(kind, "type"):
            yield kind
