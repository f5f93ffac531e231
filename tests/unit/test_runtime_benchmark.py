import json
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks import _gguf, _runtime_models, runtime
from benchmarks._alone import ChildFailed
from benchmarks._decoder import DecoderProcess, answer
from benchmarks._runtime_page import markdown
from benchmarks._synthetic import SHAPES, Shape
from benchmarks._torch_decoder import TorchDecoder, load
from tests.support import checkpoints

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


def test_requests_are_answered_as_the_whole_model_would() -> None:
    model = checkpoints.build()
    decoder = TorchDecoder(model)
    threads = torch.get_num_threads()
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0]
        loss = model(torch.tensor([TOKENS]), labels=torch.tensor([TOKENS])).loss
    following = logits.argmax(1).tolist()
    assert answer(decoder, "prefill", TOKENS, threads)["chosen"] == following[-1:]
    for _ in range(2):  # the second rewinds what the first appended
        found = answer(decoder, "decode", TOKENS[3:], threads, length=3)
        assert found["chosen"] == following[3:]
        assert found["seconds"] > 0
        assert 0 < found["resident"] <= found["peak"]
    assert answer(decoder, "loss", TOKENS, threads)["loss"] == pytest.approx(float(loss), rel=1e-6)
    assert decoder.matrix_bytes() == 4 * 2 * (32 * (32 + 16 + 16 + 32) + 3 * 32 * 64)


def test_transformers_reads_the_gguf_file_as_the_same_model(tmp_path: Path) -> None:
    model = checkpoints.build(tie_word_embeddings=True).bfloat16()
    model.save_pretrained(tmp_path)
    path = _gguf.write(tmp_path, tmp_path / "model.gguf")
    (tmp_path / "config.json").unlink()
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.bfloat16).state_dict()
    assert again.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again[name], tensor), name
    assert _gguf.matrix_bytes(path) == 2 * 2 * (32 * (32 + 16 + 16 + 32) + 3 * 32 * 64)


def test_a_contender_that_ends_is_reported_with_its_status_and_output() -> None:
    with pytest.raises(ChildFailed, match=r"torch bf16: its process ended with status 3: (.|\n)*no such model"):
        DecoderProcess("torch bf16", [sys.executable, "-c", "import sys; print('no such model', file=sys.stderr); sys.exit(3)"])


FAKE = """
import numpy as np
from benchmarks._decoder import serve
class Fake:
    used = 0
    def __init__(self): print("progress of a library")
    def set_threads(self, count): self.threads = count
    def rewind(self, length): assert length <= self.used; self.used = length
    def append(self, tokens, every=False): self.used += len(tokens); return np.zeros((len(tokens), 10))
    def matrix_bytes(self): return 5
serve(Fake)
"""
"""A decoder without a model: processes that import torch take seconds to start."""


def test_contenders_are_compared_with_torch_on_the_same_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("torch bf16", "torch fp32", "dsnot 60 %", "dsnot 70 %")
    monkeypatch.setattr(
        runtime,
        "contenders",
        lambda *_: {name: partial(runtime.Contender, name, tmp_path, [sys.executable, "-c", FAKE]) for name in names},
    )
    monkeypatch.setattr(_runtime_models, "windows", lambda *_: [[1, 2, 3]])
    small(monkeypatch)
    out = tmp_path / "runtime"
    words = ["--model", "1b", "--quick", "--only", "dsnot*", "--together", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["runtime", *words])
    runtime.main()
    document = json.loads(out.with_suffix(".json").read_text())
    assert list(document["contenders"]) == ["torch bf16", "dsnot 60 %", "dsnot 70 %"]
    for row in document["contenders"].values():
        assert [len(row[name]["ratios"]) for name in ("decode, 1 thread", "decode, 2 threads", "prefill, 257 tokens")] == [2] * 3
        assert (row["agreement"], row["matrix_bytes"]) == (1, 5)
        assert row["perplexity"] == pytest.approx(10)
    assert document["contenders"]["torch bf16"]["decode, 1 thread"]["ratio"] == 1
    assert "| dsnot 60 % |" in out.with_suffix(".md").read_text()


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "1B", Shape(64, 128, 4, 2, 0))
    monkeypatch.setattr(_runtime_models, "VOCABULARY", 50)


@pytest.mark.parametrize(("pattern", "share"), [("50 %", 0.5), ("70 %", 0.7), ("2:4", 0.5)])
def test_random_masks_fit_the_pattern(tmp_path: Path, pattern: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    _runtime_models.dense("1b", 1, tmp_path)
    state = AutoModelForCausalLM.from_pretrained(_runtime_models.pruned("1b", pattern, tmp_path)).state_dict()
    for name, tensor in state.items():
        zeros = (tensor == 0).float()
        if ".layers." not in name or tensor.ndim == 1:
            assert zeros.sum() == 0, name
        elif pattern == "2:4":
            assert torch.equal(zeros.view(-1, 4).sum(1), torch.full((tensor.numel() // 4,), 2.0)), name
        else:
            assert float(zeros.mean()) == pytest.approx(share, abs=0.04), name


def test_every_kind_of_matrix_decodes_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    _runtime_models.dense("1b", 1, tmp_path)
    folder = str(_runtime_models.pruned("1b", "70 %", tmp_path))
    weights = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 128
    expected = TorchDecoder(load(folder, "fp32"))
    logits = expected.append(TOKENS, every=True)
    kinds: dict[str, float] = {"bf16": 2 * weights, "int8": weights}
    if find_spec("dsnot_runtime"):
        kinds |= {"packed": weights, "packed-int8": 0.65 * weights}
    for kind, most in kinds.items():
        decoder = TorchDecoder(load(folder, kind))
        error = np.linalg.norm(decoder.append(TOKENS, every=True) - logits) / np.linalg.norm(logits)
        assert error < (0.1 if "int8" in kind else 0.02), kind
        assert 0 < decoder.matrix_bytes() <= most < (expected.matrix_bytes() if kind == "bf16" else 2 * weights), kind


def row(**more: Any) -> dict[str, Any]:
    speed = {"seconds": 0.5, "tokens": 16, "ratio": 2.5, "ratios": [2.5]}
    sizes = {"matrix_bytes": 2**20, "resident_bytes": 2**21, "peak_bytes": 3 * 2**20, "largest_peak_bytes": 2**22}
    return {"load_seconds": 1.0, "first_token_seconds": 2.0, "agreement": 0.75, **sizes, "decode, 1 thread": speed, **more}


def test_the_page_has_every_figure_and_what_is_missing() -> None:
    facts = {"machine": "m", "versions": "v", "date": "d", "model": "1b", "blocks": 16, "rounds": 9, "tokens": 16, "kernels": "c"}
    facts |= {"load": [0.1, 2.24], "missing": {"llama.cpp": "its environment is missing"}}
    page = markdown(facts, {"torch bf16": row(), "dsnot 60 %": row(perplexity=20.123)})
    assert "# Decoding on a CPU: 1B shape, 16 blocks" in page
    assert "load average of the machine 0.1 to 2.2" in page
    assert "| dsnot 60 % | 32.0 (× 2.50) |" in page
    assert "| torch bf16 | 1 | 2 | 3 | 4 | 1.0 | 2.0 | 75% |  |" in page
    assert "| dsnot 60 % | 1 | 2 | 3 | 4 | 1.0 | 2.0 | 75% | 20.12 |" in page
    assert "Not measured: llama.cpp; its environment is missing." in page
