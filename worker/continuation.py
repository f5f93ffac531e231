"""Greedy continuations of a prompt: `python -m worker.continuation PROMPT FOLDER…`, a JSON string per checkpoint folder."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from transformers.utils.logging import disable_progress_bar

from worker.inputs.tokenization import load_tokenizer
from worker.inputs.whole_models import load_whole

TOKENS: Final = 30


def continuation(folder: Path, prompt: str) -> str:
    """Return the greedy continuation of `TOKENS` tokens as text, without the prompt; shorter if the model ends its text."""
    tokenizer = load_tokenizer(folder)
    model = load_whole(folder)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a JSON string per checkpoint folder to standard output; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.continuation", description="Continue a prompt greedily.")
    parser.add_argument("prompt")
    parser.add_argument("folders", type=Path, nargs="+", help="folders with safetensors checkpoints and their tokenizers")
    given = parser.parse_args(arguments)
    disable_progress_bar()
    for folder in given.folders:
        sys.stdout.write(json.dumps(continuation(folder, given.prompt)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
