"""Greedy continuations: what plain transformers generates, as text without the prompt."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support import checkpoints
from worker.continuation import TOKENS, main


def test_each_checkpoint_continues_greedily(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = checkpoints.save(tmp_path / "model")
    assert main(["hello", str(folder), str(folder)]) == 0

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("hello", return_tensors="pt").input_ids
    prompt = ids.shape[1]
    with torch.no_grad():
        while ids.shape[1] < prompt + TOKENS and ids[0, -1] != tokenizer.eos_token_id:
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    expected = tokenizer.decode(ids[0, prompt:], skip_special_tokens=True)
    models = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [model["text"] for model in models] == [expected, expected]
    assert all(model["tokens_per_second"] > 0 for model in models)


def test_the_last_checkpoint_is_also_loaded_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pruned = checkpoints.build()
    with torch.no_grad():
        for name, parameter in pruned.named_parameters():
            if "proj" in name:
                parameter *= torch.rand(parameter.shape) > 0.6
    folder = checkpoints.save(tmp_path / "model")
    pruned.save_pretrained(folder)
    assert main(["hello", str(folder), "--packed"]) == 0
    dense, packed = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert packed["text"] == dense["text"]
    assert packed["weight_bytes"] < dense["weight_bytes"]
