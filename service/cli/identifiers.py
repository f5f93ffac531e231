"""Ids as arguments of commands: complete, their first four or more characters, a job's name, or `@last`."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from service.cli.output import CommandFailed

if TYPE_CHECKING:
    from service.client import Client

LAST: Final = "@last"
LEAST_CHARACTERS: Final = 4
SHORT_FORMS: Final = f"complete or its first {LEAST_CHARACTERS} or more characters"
ID_OR_NAME: Final = f"id, {SHORT_FORMS}, or its name"
JobId = Annotated[str, typer.Argument(metavar="JOB", help=f"The job's {ID_OR_NAME}; {LAST}: the newest job.")]
_SHOWN: Final = 5
"""Maximum number of candidates in an error."""
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Kind:
    """Kind of objects with ids, and the list in which prefixes are searched, newest first."""

    noun: str
    complete: re.Pattern[str]
    listed: Callable[["Client", str], Iterable[Any]]
    """Objects that may have the id or name; the second argument is what to search for, empty for all."""
    list_command: str
    has_last: bool = False
    label: str = ""
    """Prefix that all ids of the kind have and that may be left out."""
    ids_resemble_names: bool = False
    """Whether a name can be mistaken for a complete id; the list is then searched first."""

    @property
    def plural(self) -> str:
        """Noun of several objects."""
        return "deliveries" if self.noun == "delivery" else f"{self.noun}s"


JOB: Final = Kind("job", _UUID, lambda client, text: client.jobs.list(search=text), "dsnot jobs list", has_last=True)
SWEEP: Final = Kind("sweep", _UUID, lambda client, _: client.sweeps.list(), "dsnot sweeps list", has_last=True)
WEBHOOK: Final = Kind("webhook", _UUID, lambda client, _: client.webhooks.list(), "dsnot webhooks list")
TRIGGER: Final = Kind("trigger", _UUID, lambda client, _: client.triggers.list(), "dsnot triggers list")
KEY: Final = Kind(
    "key", re.compile("[a-z0-9]{12}"), lambda client, _: client.keys.list(), "dsnot keys list", ids_resemble_names=True
)
DATASET: Final = Kind(
    "data set", re.compile("ds-[0-9a-f]{16}"), lambda client, _: client.datasets.list(), "dsnot datasets list", label="ds-"
)


def delivery_of(webhook_id: str) -> Kind:
    """Return the kind of a webhook's deliveries."""
    return Kind(
        "delivery", _UUID, lambda client, _: client.webhooks.deliveries(webhook_id), f"dsnot webhooks deliveries {webhook_id}"
    )


def firing_of(trigger_id: str) -> Kind:
    """Return the kind of a trigger's firings."""
    return Kind("firing", _UUID, lambda client, _: client.triggers.firings(trigger_id), f"dsnot triggers firings {trigger_id}")


def complete_id(client: "Client", kind: Kind, text: str) -> str:
    """Return the id of the object that an argument names.

    Raises:
        CommandFailed: nothing or more than one object is named.
    """
    if text == LAST and kind.has_last:
        return _newest(client, kind)
    if kind.complete.fullmatch(text.lower()) and not kind.ids_resemble_names:
        return text.lower()
    return only_match(kind, text, kind.listed(client, text))


def only_match(kind: Kind, text: str, listed: Iterable[Any]) -> str:
    """Return the id of the only object whose name is `text` or whose id begins with it; a name takes precedence.

    Without one, a complete id is returned as it is: the API answers for it.

    Raises:
        CommandFailed: there is none, or more than one.
    """
    named, begun = [], []
    for each in listed:
        if getattr(each, "name", None) == text:
            named.append(each)
        elif _begins(each.id, kind, text):
            begun.append(each)
    found = named or begun
    if len(found) == 1:
        return str(found[0].id)
    if found:
        clash, remedy = ("name", "give the id") if named else ("beginning", "give more characters")
        raise CommandFailed(f"{text} is the {clash} of {len(found)} {kind.plural}: {_candidates(found)}; {remedy}", 2)
    if kind.complete.fullmatch(text.lower()):
        return text.lower()
    if len(text) < LEAST_CHARACTERS:
        raise CommandFailed(
            f"{text!r} is too short for the id of a {kind.noun}; give at least {LEAST_CHARACTERS} characters of it", 2
        )
    raise CommandFailed(f"there is no {kind.noun} {text}; `{kind.list_command}` lists them")


def references(client: "Client", body: dict[str, Any]) -> None:
    """Complete the ids of jobs and data sets that a job's body refers to, in place; other values stay as they are."""
    model = body.get("model")
    if isinstance(model, dict) and model.get("source") == "job" and isinstance(model.get("id"), str):
        model["id"] = complete_id(client, JOB, model["id"])
    _complete_datasets(client, body.get("calibration"), "dataset")
    evaluation = body.get("evaluation")
    _complete_datasets(client, evaluation, "perplexity")
    gates = evaluation.get("require") if isinstance(evaluation, dict) else None
    for gate in gates if isinstance(gates, list) else ():
        _complete_datasets(client, gate, "dataset")


def sweep_references(client: "Client", body: dict[str, Any]) -> None:
    """Complete the ids that a sweep's template, its target and the axis of calibration data sets refer to, in place."""
    references(client, body["template"])
    _complete_datasets(client, body.get("target"), "dataset")
    _complete_datasets(client, body.get("axes"), "/calibration/dataset")


def _complete_datasets(client: "Client", holder: Any, name: str) -> None:
    """Complete a data set's id, or a list of them, in one field of an object, if it has it."""
    if isinstance(holder, dict) and name in holder:
        holder[name] = _dataset(client, holder[name])


def _dataset(client: "Client", reference: Any) -> Any:
    """Complete `ds-3f2a` and `ds-3f2a:test`, also in a list; names of built-in data sets stay as they are."""
    if isinstance(reference, list):
        return [_dataset(client, each) for each in reference]
    if not isinstance(reference, str) or not reference.startswith(DATASET.label):
        return reference
    name, colon, split = reference.partition(":")
    return f"{complete_id(client, DATASET, name)}{colon}{split}"


def _newest(client: "Client", kind: Kind) -> str:
    newest = next(iter(kind.listed(client, "")), None)
    if newest is None:
        raise CommandFailed(f"{LAST} names the newest {kind.noun}, and there is none yet")
    return str(newest.id)


def _begins(whole: str, kind: Kind, text: str) -> bool:
    start = text.lower().removeprefix(kind.label)
    return len(start) >= LEAST_CHARACTERS and whole.removeprefix(kind.label).startswith(start)


def _candidates(found: list[Any]) -> str:
    return ", ".join(_shown(found)) + (", …" if len(found) > _SHOWN else "")


def _shown(found: list[Any]) -> Iterator[str]:
    for each in found[:_SHOWN]:
        about = getattr(each, "model", None) or getattr(each, "name", None) or getattr(each, "url", None)
        yield f"{each.id} ({about})" if isinstance(about, str) else str(each.id)
