"""Greedy continuations of a prompt and their speed: `python -m worker.continuation PROMPT FOLDER…`, a JSON object per model."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch
from transformers.utils.logging import disable_progress_bar

from worker.evaluation.speed.packed_weights import load_packed
from worker.evaluation.speed.sparse_kernels import stored_bytes
from worker.evaluation.speed.timing import Generation, timed
from worker.inputs.tokenization import load_tokenizer
from worker.inputs.whole_models import load_whole

TOKENS: Final = 30
_TIMED: Final = Generation(prompt=16, new=8)
_TURNS: Final = 3


def continuation(folder: Path, model: Any, prompt: str) -> str:
    """Return the greedy continuation of `TOKENS` tokens as text, without the prompt; shorter if the model ends its text."""
    tokenizer = load_tokenizer(folder)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.inference_mode():
        generated = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=TOKENS,
            pad_token_id=tokenizer.eos_token_id,
        )
    text: str = tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True)
    return text


def _decode_rates(models: Sequence[Any]) -> list[float]:
    """Return the tokens decoded per second; the models take turns, so that a busy moment of the machine slows all of them."""
    rates: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for _ in range(_TURNS):
            for model, found in zip(models, rates, strict=True):
                _, decode = timed(model, _TIMED, torch.device("cpu"), lambda: None, times=1)
                assert decode is not None
                found.append(decode.median)
    return [median(found) for found in rates]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a JSON object per model to standard output; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.continuation", description="Continue a prompt greedily.")
    parser.add_argument("prompt")
    parser.add_argument("folders", type=Path, nargs="+", help="folders with safetensors checkpoints and their tokenizers")
    parser.add_argument("--packed", action="store_true", help="load the last checkpoint again, with packed matrices")
    given = parser.parse_args(arguments)
    disable_progress_bar()
    folders = [*given.folders, *(given.folders[-1:] if given.packed else [])]
    models = [load_whole(folder) for folder in given.folders]
    models += [load_packed(given.folders[-1], "stored")] if given.packed else []
    texts = [continuation(folder, model, given.prompt) for folder, model in zip(folders, models, strict=True)]
    for text, model, rate in zip(texts, models, _decode_rates(models), strict=True):
        weight_bytes = sum(map(stored_bytes, model.parameters()))
        sys.stdout.write(json.dumps({"text": text, "tokens_per_second": rate, "weight_bytes": weight_bytes}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
