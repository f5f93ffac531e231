"""Tasks of an operator: those of docs/examples/tasks with made-up data, and some that are odd."""

import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import datasets
import huggingface_hub
import lm_eval.tasks
import yaml
from lm_eval.tasks._index import Entry, TaskIndex

_EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "tasks"
_BUILTIN = Path(lm_eval.tasks.__file__).parent
_WORDS = ("the", "of", "and", "to", "in", "a", "is", "that", "for", "on", "as", "with", "was", "by", "it", "have", "not", "you")


def write(folder: Path, *, examples: int = 12) -> Path:
    """The folder, with the tasks `arc_easy`, `winogrande` and `shown`, which has a split to show examples from."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in _EXAMPLES.glob("*.yaml"):
        shutil.copy(file, folder)
    draw = random.Random(0)
    _lines(folder / "arc_easy.jsonl", [_question(draw) for _ in range(examples)])
    _lines(folder / "winogrande.jsonl", [_contexts(draw) for _ in range(examples)])
    _lines(folder / "shown.jsonl", [_question(draw) for _ in range(4)])
    files = {"test": "arc_easy.jsonl", "train": "shown.jsonl"}
    add(folder, "shown", dataset_kwargs={"data_files": files}, training_split="train", fewshot_split="train")
    return folder


def add(folder: Path, name: str, **changes: Any) -> None:
    """A task like `arc_easy` under another name."""
    config = yaml.safe_load((folder / "arc_easy.yaml").read_text())
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config | {"task": name} | changes))


@contextmanager
def builtin_tasks_indexed_once() -> Iterator[None]:
    """Keep the harness from parsing the 13,000 files of its own tasks again for every catalogue of this process."""
    build = TaskIndex.build

    def cached(paths: Iterable[Path], **options: Any) -> dict[str, Entry]:
        index: dict[str, Entry] = {}
        for path in paths:
            index |= _builtin(build) if path == _BUILTIN else build([path], **options)
        return index

    with patch.object(TaskIndex, "build", staticmethod(cached)):
        yield


@cache
def _builtin(build: Callable[[list[Path]], dict[str, Entry]]) -> dict[str, Entry]:
    return build([_BUILTIN])


@contextmanager
def without_hub() -> Iterator[None]:
    """As if it could not be reached, without the half minute in which the libraries try again and again."""
    places = [(huggingface_hub.constants, "HF_HUB_OFFLINE"), (datasets.config, "HF_HUB_OFFLINE")]
    before = [getattr(module, name) for module, name in places]
    try:
        for module, name in places:
            setattr(module, name, True)
        yield
    finally:
        for (module, name), value in zip(places, before, strict=True):
            setattr(module, name, value)


def _question(draw: random.Random) -> dict[str, Any]:
    choices = [_text(draw, 3) for _ in range(4)]
    return {"query": f"Question: {_text(draw, 8)}?", "choices": choices, "gold": draw.randrange(4)}


def _contexts(draw: random.Random) -> dict[str, Any]:
    start = _text(draw, 6)
    return {"context_options": [f"{start} it", f"{start} you"], "continuation": _text(draw, 4), "gold": draw.randrange(2)}


def _text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(_WORDS, k=words))


def _lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
