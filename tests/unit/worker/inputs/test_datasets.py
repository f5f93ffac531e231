"""The samples of text and their splits, held against the files they come from."""

import json
import os
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pytest

from service.contract.failures import FailureCode
from worker.failures import JobFailure
from worker.inputs import datasets as texts
from worker.inputs.datasets import read_text


def _raw(name: str) -> str:
    [found] = [file for file in files("exllamav3") or [] if file.name == name]
    return found.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "file"), [("c4-sample", "c4.utf8"), ("wiki-sample", "wiki.utf8")])
def test_documents_keep_the_order_of_the_sample(name: str, file: str, tmp_path: Path) -> None:
    raw, position = _raw(file), 0
    for document in read_text(f"{name}:train", tmp_path) + read_text(f"{name}:test", tmp_path):
        position = raw.index(document, position) + len(document)
        assert document.strip()
        assert "<doc " not in document


@pytest.mark.parametrize("name", ["c4-sample", "wiki-sample"])
def test_splits_are_disjoint_and_the_first_has_nine_tenths(name: str, tmp_path: Path) -> None:
    train, test = read_text(f"{name}:train", tmp_path), read_text(f"{name}:test", tmp_path)
    sizes = [sum(map(len, split)) for split in (train, test)]

    assert not set(train) & set(test)
    assert 0.88 < sizes[0] / sum(sizes) <= 0.9


@pytest.mark.parametrize("name", ["c4-sample", "wiki-sample"])
def test_long_passages_of_one_split_are_not_in_the_other(name: str, tmp_path: Path) -> None:
    train, test = "\n".join(read_text(f"{name}:train", tmp_path)), read_text(f"{name}:test", tmp_path)

    middles = [document[len(document) // 2 :][:100] for document in test if len(document) > 300]
    assert len(middles) > 30
    assert not [middle for middle in middles if middle in train]


def test_a_missing_wheel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "find_spec", lambda _: None)

    with pytest.raises(JobFailure, match="exllamav3") as caught:
        read_text("wiki-sample:test", tmp_path)

    assert caught.value.code is FailureCode.DATASET_UNAVAILABLE


@pytest.mark.parametrize("reference", ["nothing:train", "c4-sample", "c4-sample:validation", "../x:train"])
def test_a_reference_without_a_split_is_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown"):
        read_text(reference, tmp_path)


_OFFLINE = """
import json, sys
from pathlib import Path
from worker.failures import JobFailure
from worker.inputs.datasets import read_text

tmp_path = Path(sys.argv[1])
told = {"documents": len(read_text("c4-sample:test", tmp_path)), "imported": "exllamav3" in sys.modules}
for reference in ("wikitext2:test", "c4:train"):
    try:
        read_text(reference, tmp_path)
    except JobFailure as failure:
        told[reference] = [failure.code, failure.detail]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh process without a hub reads of each data set."""
    folder = str(tmp_path_factory.mktemp("offline"))
    process = subprocess.run(
        [sys.executable, "-c", _OFFLINE, folder],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[4],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": folder},
    )
    told: dict[str, Any] = json.loads(process.stdout)
    return told


def test_a_sample_needs_neither_hub_nor_import_of_its_wheel(offline: dict[str, Any]) -> None:
    assert offline["documents"] > 10
    assert not offline["imported"]


@pytest.mark.parametrize("reference", ["wikitext2:test", "c4:train"])
def test_without_a_hub_the_failure_names_offline_alternatives(reference: str, offline: dict[str, Any]) -> None:
    code, detail = offline[reference]

    assert code == "dataset-unavailable"
    assert "c4-sample" in detail
    assert "wiki-sample" in detail
