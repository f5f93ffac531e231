"""Filter of the job list, parsed from its form; invalid fields keep their input and an error."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query

from service.contract.states import JobState
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
"""Sortable columns, with the order of the first click."""


@dataclass(frozen=True)
class Heading:
    """Sortable column heading."""

    title: str
    direction: str
    """Value of `aria-sort`; empty if the list is not sorted by this column."""
    query: str


@dataclass(frozen=True)
class JobFilterForm:
    """Parsed filter form and sort order of the job list, and errors."""

    states: list[JobState] = field(default_factory=list)
    model: str = ""
    label: str = ""
    search: str = ""
    sweep: UUID | None = None
    order: JobOrder = JobOrder.NEWEST
    errors: dict[str, str] = field(default_factory=dict)
    """Error messages by field name."""

    @property
    def wanted(self) -> JobFilter:
        """The filter without invalid fields."""
        labels = {} if "label" in self.errors else dict(part.split("=", 1) for part in self.label.split())
        return JobFilter(self.states, self.model or None, labels, search=self.search or None, sweep=self.sweep)

    @property
    def is_empty(self) -> bool:
        """Whether no field is filled in."""
        return not (self.states or self.model or self.label or self.search or self.sweep)

    @property
    def is_newest_first(self) -> bool:
        """Whether the default order applies."""
        return self.order == JobOrder.NEWEST

    def query(self, **more: str) -> str:
        """Return the query string of this filter and order, with `more` parameters."""
        order = "" if self.is_newest_first else str(self.order)
        texts = {"q": self.search, "model": self.model, "label": self.label, "sweep": str(self.sweep or ""), "sort": order} | more
        pairs = [("state", str(state)) for state in self.states] + [(name, text) for name, text in texts.items() if text]
        return f"?{urlencode(pairs)}" if pairs else ""

    def headings(self) -> dict[str, Heading]:
        """Return the headings of sortable columns; a click sorts by the column, a second click reverses the order."""
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
    sweep: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
) -> JobFilterForm:
    known = [JobState(name) for name in JobState if name in (state or ())]
    texts, errors = {"model": model, "label": label, "q": q}, dict[str, str]()
    for name, text in texts.items():
        if "\0" in text:
            errors[name] = "must not contain NUL characters"
    model, label, q = (text.replace("\0", "").strip() for text in texts.values())
    if unknown := sorted(set(state or ()) - set(JobState) - {""}):
        errors["state"] = f"there is no state {unknown[0]!r}"
    if any(not part.partition("=")[0] or "=" not in part for part in label.split()):
        errors["label"] = "enter name=value pairs separated by spaces"
    order = next((each for each in JobOrder if each == sort), None)
    if sort and not order:
        errors["sort"] = f"jobs cannot be sorted by {sort!r}; click a column’s heading"
    of_sweep = None
    with suppress(ValueError):
        of_sweep = UUID(sweep) if sweep else None
    if sweep and of_sweep is None:
        errors["sweep"] = f"{sweep!r} is no id of a sweep; follow a link of a sweep’s page"
    return JobFilterForm(known, model, label, q, of_sweep, order or JobOrder.NEWEST, errors)


Asked = Annotated[JobFilterForm, Depends(_asked)]
