"""The filter of the list of jobs, as its form sends it: what cannot be understood is said beside the field and kept there."""

from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Depends, Query

from service.contract import JobState
from service.jobs.repository import JobFilter
from service.jobs.sorting import JobOrder

_MAX_TEXT: Final = 256
_SORTABLE: Final = {
    "Model": JobOrder.MODEL,
    "State": JobOrder.STATE,
    "Priority": JobOrder.MOST_URGENT,
    "Created (UTC)": JobOrder.NEWEST,
    "Ended (UTC)": JobOrder.LAST_ENDED,
}
"""And the order that a first click gives."""


@dataclass(frozen=True)
class Heading:
    """Of a column."""

    title: str
    direction: str
    """As `aria-sort` has it; empty for the columns that the list is not sorted by."""
    query: str


@dataclass(frozen=True)
class AskedJobs:
    """What the form holds, and what is wrong with it."""

    states: list[JobState] = field(default_factory=list)
    model: str = ""
    label: str = ""
    search: str = ""
    order: JobOrder = JobOrder.NEWEST
    errors: dict[str, str] = field(default_factory=dict)
    """By the name of the field."""

    @property
    def wanted(self) -> JobFilter:
        """Without what was not understood."""
        labels = {} if "label" in self.errors else dict(part.split("=", 1) for part in self.label.split())
        return JobFilter(self.states, self.model or None, labels, search=self.search or None)

    @property
    def is_empty(self) -> bool:
        return not (self.states or self.model or self.label or self.search)

    @property
    def is_newest_first(self) -> bool:
        return self.order == JobOrder.NEWEST

    def query(self, **more: str) -> str:
        """The same filter and order in an address."""
        order = "" if self.is_newest_first else str(self.order)
        texts = {"q": self.search, "model": self.model, "label": self.label, "sort": order} | more
        pairs = [("state", str(state)) for state in self.states] + [(name, text) for name, text in texts.items() if text]
        return f"?{urlencode(pairs)}" if pairs else ""

    def headings(self) -> dict[str, Heading]:
        """Of the columns that jobs can be sorted by: a click sorts by it, and one more turns that around."""
        return {order.column: self._heading(title, order) for title, order in _SORTABLE.items()}

    def _heading(self, title: str, usual: JobOrder) -> Heading:
        is_current = self.order.column == usual.column
        other = JobOrder(usual.column if usual.is_descending else f"-{usual.column}")
        direction = ("descending" if self.order.is_descending else "ascending") if is_current else ""
        return Heading(title, direction, self.query(sort=other if self.order == usual else usual))


async def _asked(
    state: Annotated[list[str] | None, Query()] = None,
    model: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    label: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    q: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    sort: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
) -> AskedJobs:
    known = [JobState(name) for name in JobState if name in (state or ())]
    texts, errors = {"model": model, "label": label, "q": q}, dict[str, str]()
    for name, text in texts.items():
        if "\0" in text:
            errors[name] = "must not hold NUL characters"
    model, label, q = (text.replace("\0", "").strip() for text in texts.values())
    if unknown := sorted(set(state or ()) - set(JobState) - {""}):
        errors["state"] = f"there is no state {unknown[0]!r}"
    if any(not part.partition("=")[0] or "=" not in part for part in label.split()):
        errors["label"] = "write name=value, several with spaces between them"
    order = next((each for each in JobOrder if each == sort), None)
    if sort and not order:
        errors["sort"] = f"jobs cannot be sorted by {sort!r}; choose a column’s heading"
    return AskedJobs(known, model, label, q, order or JobOrder.NEWEST, errors)


Asked = Annotated[AskedJobs, Depends(_asked)]
