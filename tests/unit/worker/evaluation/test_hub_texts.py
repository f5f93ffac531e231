"""C4 and WikiText-2 through the real client of the hub, and the windows that the field evaluates on."""

import gzip
import io
import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from tests.support import checkpoints
from tests.support.download_hub import TinyHub

LENGTH = 128
DOCUMENTS = [f"Document {number} tells of äpples and tables.\nIt has lines." for number in range(3000)]
ROWS = ["", " = Title = \n", "", *(f" Row {number} has words . \n" for number in range(200))]
SHARD = "en/c4-validation.00000-of-00008.json.gz"
C4_CARD = b"---\nconfigs:\n- config_name: en\n  data_files:\n  - split: validation\n    path: en/c4-validation.*.json.gz\n---\n"
WIKI_CARD = (
    b"---\nconfigs:\n- config_name: wikitext-2-raw-v1\n  data_files:\n  - split: test\n    path: wikitext-2-raw-v1/test-*\n---\n"
)

_CLIENT = """
import json, sys
from pathlib import Path
from service.contract.spec import EvaluationSpec
from worker.evaluation.texts import read_all
from worker.inputs.datasets import Texts

model, cache, length = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
told = {}
for name, more in {"usual": {}, "300": {"max_windows": 300}, "3": {"max_windows": 3}}.items():
    spec = EvaluationSpec(perplexity=["c4:validation", "wikitext2:test"], sequence_length=length, **more)
    told[name] = [[text.windows.tolist(), text.dropped_tokens] for text in read_all(model, spec, Texts(cache))]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def told(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Windows and dropped tokens of both data sets, as a process reads them that knows this hub."""
    folder = tmp_path_factory.mktemp("client")
    lines = "\n".join(json.dumps({"text": text, "timestamp": "2019-04-25", "url": "http://x"}) for text in DOCUMENTS)
    parquet = io.BytesIO()
    pq.write_table(pa.table({"text": ROWS}), parquet)
    with TinyHub() as hub:
        hub.add("allenai/c4", None, {"README.md": C4_CARD, SHARD: gzip.compress(lines.encode())})
        wiki = "wikitext-2-raw-v1/test-00000-of-00001.parquet"
        hub.add("Salesforce/wikitext", None, {"README.md": WIKI_CARD, wiki: parquet.getvalue()})
        environment = {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
        process = subprocess.run(
            [sys.executable, "-c", _CLIENT, str(model), str(folder / "cache"), str(LENGTH)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=Path(__file__).parents[4],
            env=os.environ | environment,
        )
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def ids_of(model: Path, text: str) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(model)(text)["input_ids"]
    return ids


def test_c4_is_joined_and_cut_as_in_wanda_and_sparsegpt(model: Path, told: dict[str, Any]) -> None:
    """`tokenizer(' '.join(valdata[:1100]['text'])).input_ids[:, :(256 * seqlen)]`"""
    ids = ids_of(model, " ".join(DOCUMENTS[:1100]))
    assert len(ids) > 301 * LENGTH  # so that it is the number that cuts
    windows, dropped = told["usual"][0]
    assert list(chain.from_iterable(windows)) == ids[: 256 * LENGTH]
    assert dropped == len(ids) - 256 * LENGTH


def test_a_requested_number_of_windows_takes_precedence(model: Path, told: dict[str, Any]) -> None:
    ids = ids_of(model, " ".join(DOCUMENTS[:1100]))
    for count in (300, 3):
        assert list(chain.from_iterable(told[str(count)][0][0])) == ids[: count * LENGTH]


def test_wikitext_is_joined_by_two_newlines_and_used_completely(model: Path, told: dict[str, Any]) -> None:
    ids = ids_of(model, "\n\n".join(ROWS))
    windows, dropped = told["usual"][1]
    assert list(chain.from_iterable(windows)) == ids[: len(windows) * LENGTH]
    assert dropped == len(ids) % LENGTH
    assert len(told["3"][1][0]) == 3
