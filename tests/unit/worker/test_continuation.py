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
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [expected, expected]
