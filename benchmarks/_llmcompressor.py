"""One run of the library llmcompressor for `benchmarks.speed`, in `.venv-peers`; it imports nothing of this project.

    .venv-peers/bin/python -I benchmarks/_llmcompressor.py < CASE.json

Only the call that calibrates and prunes is timed, not the imports, nor loading the model and its tokenizer; nothing is saved.
Before it, the plain model runs the same batches once, so that the library's overhead can be separated from the cost of a
forward pass on this machine. All settings have their defaults where possible; the head is not pruned, as the manual advises.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from llmcompressor.entrypoints import Oneshot  # type: ignore[import-not-found]
from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier  # type: ignore[import-not-found]
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

_MODIFIERS: Final = {"wanda": WandaPruningModifier, "sparsegpt": SparseGPTModifier}
_PACKAGES: Final = ("llmcompressor", "torch", "transformers", "compressed-tensors")


def main() -> None:
    """Read a case from standard input and print its figures as the last line of output."""
    print("\n" + json.dumps(measure(json.load(sys.stdin))))


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of the run and of a plain forward pass, and zeros and weights of every matrix whose zeros changed."""
    torch.set_num_threads(case["threads"])
    model = AutoModelForCausalLM.from_pretrained(case["model"], dtype=getattr(torch, case["dtype"])).eval()
    batches: DataLoader[Any] = DataLoader(
        [{"input_ids": window} for window in load_file(case["tokens"])["tokens"]],  # type: ignore[arg-type]
        batch_size=case["batch"],
    )
    before = _zeros(model)
    bare = _seconds(lambda: _pass(model, batches))
    modifier = _MODIFIERS[case["algorithm"]](sparsity=case["sparsity"], targets=["Linear"], ignore=["re:.*lm_head"])
    oneshot = Oneshot(model=model, recipe=modifier, dataset=batches, pipeline=case["pipeline"])
    seconds = _seconds(oneshot)
    pruned = {name: zeros for name, zeros in _zeros(model).items() if zeros.sum() != before[name].sum()}
    save_file({name: _packed(zeros) for name, zeros in pruned.items()}, case["masks"])
    return {
        "seconds": seconds,
        "forward": bare,
        "matrices": {name: [int(zeros.sum()), zeros.numel()] for name, zeros in pruned.items()},
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def _zeros(model: Any) -> dict[str, Tensor]:
    return {name: parameter == 0 for name, parameter in model.named_parameters() if parameter.ndim == 2}


def _packed(zeros: Tensor) -> Tensor:
    """Pack the zeros, eight to a byte, row after row."""
    return torch.from_numpy(np.packbits(zeros.numpy()))


def _pass(model: Any, batches: DataLoader[Any]) -> None:
    """Run the batches once through everything below the head."""
    with torch.no_grad():
        for batch in batches:
            model.base_model(**batch, use_cache=False)


def _seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


if __name__ == "__main__":
    main()
