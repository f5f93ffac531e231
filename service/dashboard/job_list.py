"""Data of the job list: rows or groups, and counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from service.contract.states import JobState
from service.dashboard import repository
from service.dashboard.filtering import JobListForm
from service.dashboard.formats import counted
from service.dashboard.job_columns import JobRow
from service.dashboard.sparkline import Sparkline
from service.database.engine import Database, Session
from service.jobs import operations as jobs
from service.jobs.groups import repository as grouped
from service.jobs.groups.repository import Group, Grouping

_PAGE: Final = 50
_MOST_GROUPS: Final = 30
_OF_GROUP: Final = 5
_MOST_SUGGESTED: Final = 100
_MOST_LABELS: Final = 30


@dataclass(frozen=True)
class JobGroup:
    """Group of jobs with its first rows."""

    title: str
    count: int
    query: str
    """Query string of the list of its jobs; empty if no filter selects them."""
    sparkline: Sparkline | None
    rows: Sequence[JobRow]


@dataclass(frozen=True)
class JobList:
    """Rows of one page of the list, or its groups."""

    counts: Mapping[JobState, int]
    """Numbers of matching jobs by state, whatever states are selected."""
    count: str
    """Number of matching jobs, as text."""
    rows: Sequence[JobRow]
    next_cursor: str | None
    groups: Sequence[JobGroup]
    has_more_groups: bool
    models: Sequence[str]
    """Names of models, as suggestions."""
    label_names: Sequence[str]
    """Names of labels, by which the list can be grouped."""

    @property
    def in_any_state(self) -> str:
        """Number of jobs whatever their states, as text."""
        return counted(*self.counts.values())


def job_list(database: Database, asked: JobListForm, *, tenant: str, cursor: str | None) -> JobList:
    """Return the list that a URL names. Raise InvalidInput if the cursor is not one of it."""
    grouping = asked.grouping
    with database.begin() as session:
        counts = grouped.count_by_state(session, asked.every_state, tenant=tenant)
        models = repository.models(session, tenant, limit=_MOST_SUGGESTED)
        labels = grouped.label_names(session, tenant=tenant, limit=_MOST_LABELS)
        groups = _groups(session, asked, grouping, tenant) if grouping else []
    count = counted(*(counts.get(state, 0) for state in asked.states or JobState))
    if grouping:
        return JobList(counts, count, [], None, groups[:_MOST_GROUPS], len(groups) > _MOST_GROUPS, models, labels)
    page = jobs.list_sorted(database, asked.wanted, asked.order, tenant=tenant, cursor=cursor, limit=_PAGE)
    return JobList(counts, count, [JobRow.of(job) for job in page.items], page.next_cursor, [], False, models, labels)


def _groups(session: Session, asked: JobListForm, by: Grouping, tenant: str) -> list[JobGroup]:
    found = grouped.groups(session, asked.wanted, by, tenant=tenant, limit=_MOST_GROUPS + 1)
    keys = [group.key for group in found]
    first = grouped.first_jobs(session, asked.wanted, by, keys, tenant=tenant, order=asked.order, limit=_OF_GROUP)
    measured: dict[str | None, list[grouped.Measured]] = {key: [] for key in keys}
    for each in grouped.measured(session, asked.wanted, by, keys, tenant=tenant):
        measured[each.key].append(each)
    names = grouped.sweep_names(session, [UUID(key) for key in keys if key], tenant=tenant) if by.by == "sweep" else {}
    return [
        JobGroup(
            _title(group, by, names),
            group.count,
            _query(asked, group, by),
            Sparkline.of(measured[group.key]),
            [JobRow.of(job) for job in first[group.key]],
        )
        for group in found
    ]


def _title(group: Group, by: Grouping, names: Mapping[UUID, str]) -> str:
    if group.key is None:
        return "without a sweep" if by.by == "sweep" else f"without the label {by.label}"
    if by.by == "sweep":
        return names.get(UUID(group.key), group.key)
    return f"{by.label}={group.key}" if by.by == "label" else group.key


def _query(asked: JobListForm, group: Group, by: Grouping) -> str:
    if group.key is None:
        return ""
    if by.by == "label":
        return asked.with_facet("label", f"{by.label}={group.key}")
    return asked.query(**{by.by: group.key, "group": ""})
