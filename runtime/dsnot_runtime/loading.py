"""Loading of the sparse weight files of an artifact: packed files, or masks with their base model.

No dense copy of the model is made, neither on disk nor in memory; stacked experts are dense one stack at a time.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from dsnot_runtime.config import SparseConfig
from dsnot_runtime.errors import IncompleteModel, WrongBase
from dsnot_runtime.packed import StoredMatrix, read, read_mask
from dsnot_runtime.weight import SparseWeight, Values

_PACKED = (torch.bfloat16, torch.float16, torch.float32)


def load(
    folder: str | Path, *, mask: str | Path | None = None, dtype: Any = "auto", values: Values = "stored", min_zeros: float = 0.3
) -> Any:
    """Return the transformers model of a folder with packed files, or of a base model's folder under the masks in `mask`.

    Args:
        folder: `config.json` and `*.packed`, or with `mask` the base model's `config.json` and `*.safetensors`.
        mask: folder with `*.mask` files.
        dtype: as for `from_pretrained`.
        values, min_zeros: as for `SparseConfig`.

    Raises:
        SparseModelError: a file is missing, truncated, altered or of an unknown version, the base model is another one, the
            files do not have all parameters of the model, or no matrix has enough zeros.
    """
    folder = Path(folder)
    weights = read(folder) if mask is None else _masked(folder, Path(mask))
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    model, info = _model_class(config).from_pretrained(
        None,
        config=config,
        state_dict=dict(_as_tensors(weights)),
        dtype=dtype,
        quantization_config=SparseConfig(values=values, min_zeros=min_zeros),
        output_loading_info=True,
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if names := sorted(map(str, info[problem])):
            raise IncompleteModel(
                f"{folder}: {problem.removesuffix('_keys')} weights, first {names[0]}; download the files again."
            )
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _as_tensors(weights: Iterator[tuple[str, Tensor | StoredMatrix]]) -> Iterator[tuple[str, Tensor]]:
    for name, each in weights:
        if isinstance(each, StoredMatrix):
            weight = SparseWeight(each.bits, each.values, each.starts, None, each.shape, each.values.dtype)
            has_zeros = not bool(each.values[: int(each.starts[-1])].all())  # negative ones, which packed files keep
            yield name, SparseWeight.pack(weight.dense()) if has_zeros else weight
        else:
            yield name, each


def _masked(base: Path, folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of the base model under the masks; matrices are packed one after the other."""
    files = sorted(base.glob("*.safetensors"))
    with ExitStack() as stack:
        opened = [stack.enter_context(safe_open(path, framework="pt")) for path in files]
        places = {name: file for file in opened for name in file.keys()}  # noqa: SIM118
        for name, mask in read_mask(folder):
            if name not in places:
                raise WrongBase(f"{base} has no weight {name}; the masks are those of {mask.base}: name its folder.")
            weight = places[name].get_tensor(name)
            if _sha256(weight) != mask.base_sha256:
                raise WrongBase(f"{name} differs in {base}; the masks are those of {mask.base}: name its folder.")
            if mask.bits is None:
                yield name, weight
                continue
            weight = torch.where(mask.kept(), weight, torch.zeros((), dtype=weight.dtype))
            yield name, SparseWeight.pack(weight) if weight.dim() == 2 and weight.dtype in _PACKED else weight


def _sha256(weight: Tensor) -> str:
    return hashlib.sha256(weight.contiguous().view(-1).view(torch.uint8).numpy().data).hexdigest()


def _model_class(config: Any) -> Any:
    """Return the class that the config names, else the causal language model of its type."""
    names = [name for name in config.architectures or () if hasattr(transformers, name)]
    return getattr(transformers, names[0]) if names else AutoModelForCausalLM._model_mapping[type(config)]
