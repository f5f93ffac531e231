"""The filter of the list of jobs, as its form sends it: what cannot be understood is said beside the field and kept there."""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query

from service.contract import JobState
from service.jobs.repository import JobFilter

_MAX_TEXT = 256


@dataclass(frozen=True)
class AskedJobs:
    """What the form holds, and what is wrong with it."""

    states: list[JobState] = field(default_factory=list)
    model: str = ""
    label: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    """By the name of the field."""

    @property
    def wanted(self) -> JobFilter:
        """Without what was not understood."""
        labels = {} if "label" in self.errors else dict(part.split("=", 1) for part in self.label.split())
        return JobFilter(self.states, self.model or None, labels)

    @property
    def is_empty(self) -> bool:
        return not (self.states or self.model or self.label)

    def query(self, **more: str) -> str:
        """The same filter in an address."""
        pairs = [("state", str(state)) for state in self.states]
        pairs += [(name, text) for name, text in (("model", self.model), ("label", self.label), *more.items()) if text]
        return f"?{urlencode(pairs)}" if pairs else ""


async def _asked(
    state: Annotated[list[str] | None, Query()] = None,
    model: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
    label: Annotated[str, Query(max_length=_MAX_TEXT)] = "",
) -> AskedJobs:
    known = [JobState(name) for name in JobState if name in (state or ())]
    model, label, errors = model.strip(), label.strip(), {}
    if unknown := sorted(set(state or ()) - set(JobState) - {""}):
        errors["state"] = f"there is no state {unknown[0]!r}"
    if any(not part.partition("=")[0] or "=" not in part for part in label.split()):
        errors["label"] = "write name=value, several with spaces between them"
    if "\0" in model + label:
        errors["model"], model, label = "must not hold NUL characters", model.replace("\0", ""), label.replace("\0", "")
    return AskedJobs(known, model, label, errors)


Asked = Annotated[AskedJobs, Depends(_asked)]
