"""Filter, order, grouping and columns of the job list, parsed from its URL; invalid fields keep their input and an error."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Final, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query

from service.contract.states import JobState
from service.dashboard.facets import Facets, facet_text, facets_of
from service.dashboard.job_columns import COLUMNS, DEFAULT_COLUMNS, Column
from service.jobs.groups.repository import Grouping
from service.jobs.repository import JobFilter
from service.jobs.sorting import JobOrder

_MAX_TEXT: Final = 256
_MAX_SEARCH: Final = 1024
_LABEL: Final = "label:"
_Removable = Literal["model", "label", "sweep"]


@dataclass(frozen=True)
class Heading:
    """Sortable column heading."""

    key: str
    direction: str
    """Value of `aria-sort`; empty if the list is not sorted by this column."""
    query: str


@dataclass(frozen=True)
class JobListForm:
    """Parsed URL of the job list, and errors."""

    states: Sequence[JobState] = ()
    search: str = ""
    """Text of the search box, with facets."""
    model: str = ""
    """Model whose jobs are shown, as links from other pages name it."""
    label: str = ""
    """Labels `name=value`, as links from other pages name them."""
    sweep: UUID | None = None
    order: JobOrder = JobOrder.NEWEST
    group: str = ""
    columns: Sequence[str] = DEFAULT_COLUMNS
    errors: dict[str, str] = field(default_factory=dict)
    """Error messages by field name."""

    @cached_property
    def facets(self) -> Facets:
        """Facets of the search text."""
        return facets_of(self.search)

    @property
    def wanted(self) -> JobFilter:
        """The filter without invalid fields."""
        return JobFilter(
            self.states,
            self.model or None,
            self.facets.labels | self._labels,
            search=self.facets.text or None,
            sweep=self.sweep,
            presets=self.facets.presets,
            model_parts=self.facets.model_parts,
            label_names=self.facets.label_names,
        )

    @property
    def every_state(self) -> JobFilter:
        """The filter without its states."""
        return replace(self.wanted, states=())

    @property
    def _labels(self) -> dict[str, str]:
        return {} if "label" in self.errors else dict(part.split("=", 1) for part in self.label.split())

    @property
    def grouping(self) -> Grouping | None:
        """Grouping of the list; None for a plain list."""
        if self.group.startswith(_LABEL):
            return Grouping("label", self.group.removeprefix(_LABEL))
        return Grouping("sweep" if self.group == "sweep" else "model") if self.group else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is filtered."""
        return not (self.states or self.model or self.label or self.search or self.sweep)

    @property
    def is_newest_first(self) -> bool:
        """Whether the default order applies."""
        return self.order == JobOrder.NEWEST

    @property
    def filters(self) -> Iterator[tuple[_Removable, str]]:
        """Names and values of the filters that the search box does not show."""
        names: tuple[_Removable, ...] = ("model", "label", "sweep")
        return ((name, str(value)) for name in names if (value := getattr(self, name)))

    def kept(self) -> Sequence[tuple[str, str]]:
        """Return the parameters that the form has no visible fields for."""
        return [("state", str(state)) for state in self.states] + list(self.filters)

    def query(self, **more: str) -> str:
        """Return the query string of this list, with `more` parameters; empty ones are left out."""
        texts = {
            "q": self.search,
            "model": self.model,
            "label": self.label,
            "sweep": str(self.sweep or ""),
            "sort": "" if self.is_newest_first else str(self.order),
            "group": self.group,
        } | more
        pairs = [("state", state) for state in self.states] + [(name, text) for name, text in texts.items() if text]
        if self.columns != DEFAULT_COLUMNS:
            pairs += [("column", name) for name in self.columns]
        return f"?{urlencode(pairs)}" if pairs else ""

    def heading(self, column: Column) -> Heading:
        """Return the heading of a sortable column; a click sorts by the column, a second click reverses the order."""
        usual = column.order
        assert usual is not None
        is_current = self.order.column == usual.column
        other = JobOrder(usual.column if usual.is_descending else f"-{usual.column}")
        direction = ("descending" if self.order.is_descending else "ascending") if is_current else ""
        return Heading(usual.column, direction, self.query(sort=other if self.order == usual else usual))

    def with_states(self, *states: JobState) -> str:
        """Return the query string of the list of these states."""
        return replace(self, states=states).query()

    def cleared(self) -> str:
        """Return the query string of the list without filters, in the same order, grouping and columns."""
        return replace(self, states=(), search="", model="", label="", sweep=None).query()

    def toggled(self, state: JobState) -> str:
        """Return the query string with this state added, or removed if it is among them."""
        return self.with_states(*(each for each in JobState if (each in self.states) != (each == state)))

    def with_facet(self, name: str, value: str) -> str:
        """Return the query string with a facet added to the search text, without grouping."""
        facet = facet_text(name, value)
        search = self.search if facet in self.search.split() else f"{self.search} {facet}".strip()
        return self.query(q=search, group="")


async def _asked(
    state: Annotated[list[str] | None, Query()] = None,
    model: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    label: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    q: Annotated[str, Query(max_length=_MAX_SEARCH)] = "",
    sort: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    sweep: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    group: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    column: Annotated[list[str] | None, Query(max_length=50)] = None,
) -> JobListForm:
    errors = dict[str, str]()
    texts = {"model": model, "label": label, "q": q, "group": group}
    for name, text in texts.items():
        if "\0" in text:
            errors[name] = "must not contain NUL characters"
    model, label, q, group = (text.replace("\0", "").strip() for text in texts.values())
    known = [JobState(name) for name in JobState if name in (state or ())]
    if unknown := sorted(set(state or ()) - set(JobState) - {""}):
        errors["state"] = f"there is no state {unknown[0]!r}"
    if any(not part.partition("=")[0] or "=" not in part for part in label.split()):
        errors["label"] = f"label takes name=value pairs separated by spaces, not {label!r}"
    if found := facets_of(q).error:
        errors["q"] = found
    order = next((each for each in JobOrder if each == sort), None)
    if sort and not order:
        errors["sort"] = f"jobs cannot be sorted by {sort!r}; click a column’s heading"
    of_sweep = None
    with suppress(ValueError):
        of_sweep = UUID(sweep) if sweep else None
    if sweep and of_sweep is None:
        errors["sweep"] = f"{sweep!r} is no id of a sweep; follow a link of a sweep’s page"
    columns = _columns(column or [], errors)
    return JobListForm(known, q, model, label, of_sweep, order or JobOrder.NEWEST, _group(group, errors), columns, errors)


def _group(group: str, errors: dict[str, str]) -> str:
    if group in ("", "model", "sweep") or (group.startswith(_LABEL) and group != _LABEL):
        return group
    errors["group"] = f"jobs cannot be grouped by {group!r}; use model, sweep or label:NAME"
    return ""


def _columns(named: Sequence[str], errors: dict[str, str]) -> Sequence[str]:
    if unknown := sorted(set(named) - set(COLUMNS) - {""}):
        errors["column"] = f"there is no column {unknown[0]!r}; use {', '.join(COLUMNS)}"
    chosen = tuple(name for name in COLUMNS if name in named)
    return chosen or DEFAULT_COLUMNS


AskedJobs = Annotated[JobListForm, Depends(_asked)]
