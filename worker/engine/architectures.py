"""Taking a model apart without its weights: its decoder blocks, the matrices that can be pruned, and where each lies.

The model is built by transformers on the meta device (shapes, no numbers), so whatever decoder it knows is understood
the same way. Tensor names in a checkpoint may differ from parameter names in the model (a base prefix more or less, older
spellings); transformers' own rules, those of `from_pretrained`, say which tensor fills which parameter.

Words:   block   one decoder layer
         matrix  the weight of an `nn.Linear` in a block, (out, in); routers are never pruned
         coverage  weights of matrices / parameters of blocks, 0 to 1
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from worker.engine.checkpoint import Checkpoint
from worker.engine.errors import ArchitectureUnsupported, ModelUnsafe

_ROUTERS = {"gate", "router", "shared_expert_gate"}
_OWN_ATTENTION = {None, "eager", "sdpa"}


@dataclass(frozen=True)
class Outline:
    """What a checkpoint is, told from its config and headers alone."""

    model_type: str
    architecture: str  # class name
    parameters: int
    block_parameters: int
    prunable_parameters: int
    coverage: float  # prunable / block parameters, 0 to 1
    blocks: int
    max_sequence_length: int | None
    vocab_size: int
    dtype: str  # "float32", "bfloat16", ...
    matrices: tuple[tuple[str, tuple[int, int]], ...]  # tensor name in the checkpoint, (out, in)


@dataclass(frozen=True)
class Block:
    """One decoder layer, on the meta device unless it is loaded."""

    name: str  # its path in the model
    module: nn.Module
    matrices: dict[str, str]  # path of the nn.Linear in the block: name of its tensor in the checkpoint


@dataclass(frozen=True)
class Architecture:
    """A model on the meta device, and how its checkpoint fills it."""

    checkpoint: Checkpoint
    config: Any
    model: Any  # transformers.PreTrainedModel
    layers: nn.ModuleList  # the decoder layers, replaced by recorders now and then
    blocks: tuple[Block, ...]
    sources: dict[str, str]  # parameter name: tensor name in the checkpoint

    @property
    def block_parameters(self) -> int:
        return sum(p.numel() for block in self.blocks for p in block.module.parameters())

    def matrix_shapes(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Every matrix in the order of the model: tensor name and (out, in)."""
        for block in self.blocks:
            for path, name in block.matrices.items():
                layer = block.module.get_submodule(path)
                assert isinstance(layer, nn.Linear)
                yield name, (layer.out_features, layer.in_features)


def outline(source: Path) -> Outline:
    """What the checkpoint in the folder `source` is. Reads its config and headers; no weights, and runs none of its code.

    Raises:
        FileNotFoundError: the folder or its config is missing.
        ModelUnsafe: custom code, no safetensors, a header that cannot be right, names that leave the folder.
        ArchitectureUnsupported: transformers does not know it as a causal language model, or nothing can be pruned.
    """
    return describe(take_apart(source))


def describe(arch: Architecture) -> Outline:
    """The outline of a model that is taken apart already."""
    matrices = tuple(arch.matrix_shapes())
    prunable = sum(out * width for _, (out, width) in matrices)
    text = arch.config.get_text_config()
    return Outline(
        model_type=arch.config.model_type,
        architecture=type(arch.model).__name__,
        parameters=sum(p.numel() for p in arch.model.parameters()),
        block_parameters=arch.block_parameters,
        prunable_parameters=prunable,
        coverage=prunable / arch.block_parameters,
        blocks=len(arch.blocks),
        max_sequence_length=getattr(text, "max_position_embeddings", None),
        vocab_size=text.vocab_size,
        dtype=str(arch.model.dtype).removeprefix("torch."),
        matrices=matrices,
    )


def take_apart(source: Path) -> Architecture:
    """The model of the folder `source` on the meta device; raises what `outline` raises."""
    checkpoint = Checkpoint(source)
    config = _read_config(checkpoint)
    model = _build_on_meta(checkpoint, config)
    sources = _match_tensors(checkpoint, model)
    path, layers = _find_layers(model, config)
    blocks = tuple(_describe_block(f"{path}.{i}", layer, sources) for i, layer in enumerate(layers))
    if not any(block.matrices for block in blocks):
        kinds = sorted({type(m).__name__ for m in layers.modules() if next(m.parameters(recurse=False), None) is not None})
        raise ArchitectureUnsupported(
            f"{type(model).__name__} has no nn.Linear in its blocks ({type(layers[0]).__name__}); "
            f"what holds its weights cannot be pruned yet: {', '.join(kinds)}."
        )
    return Architecture(checkpoint, config, model, layers, blocks, sources)


def _read_config(checkpoint: Checkpoint) -> Any:
    for key, value in _walk(checkpoint.config):
        if key == "auto_map":
            raise ModelUnsafe("The config has an auto_map: the model brings its own code, which is never run.")
        if key.endswith("_implementation") and "/" in str(value):
            raise ModelUnsafe(f"The config asks to fetch code ({key}: {value!r}), which is never run.")
        if key == "quantization_config" and value:
            raise ArchitectureUnsupported("The checkpoint is quantised; prune the one it was made from.")
    model_type = checkpoint.config.get("model_type")
    try:
        config = AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a stranger's config makes the library raise
        raise ArchitectureUnsupported(f"The config (model_type {model_type!r}) is not understood: {error}") from error
    if config._attn_implementation not in _OWN_ATTENTION:
        config._attn_implementation = None  # the library's own choice for this machine
    if not 0 < getattr(config.get_text_config(), "num_hidden_layers", 0) <= len(checkpoint.tensors):
        raise ArchitectureUnsupported(f"The number of layers of a {model_type!r} does not fit its tensors.")
    return config


def _walk(config: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of nested JSON objects."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield key, value
            yield from _walk(value)
    elif isinstance(config, list):
        for value in config:
            yield from _walk(value)


def _build_on_meta(checkpoint: Checkpoint, config: Any) -> Any:
    """The model without numbers, in the type that `from_pretrained` would give it."""
    floats = [place.dtype for place in checkpoint.tensors.values() if place.dtype.is_floating_point]
    dtype = config.dtype or (floats[0] if floats else torch.float32)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    except Exception as error:
        kind = type(config).__name__
        raise ArchitectureUnsupported(f"{kind} does not make a causal language model: {error}") from error
    return model.eval().requires_grad_(False)


def _match_tensors(checkpoint: Checkpoint, model: Any) -> dict[str, str]:
    """Which tensor fills which parameter or buffer. Tensors that fill none are only copied."""
    state = model.state_dict()
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    sources: dict[str, str] = {}
    for tensor, place in checkpoint.tensors.items():
        name, converter = rename_source_key(tensor, renamings, converters, model.base_model_prefix, state)
        if name not in state and tensor in state:
            name, converter = tensor, None
        if name not in state:
            continue
        owner = type(model.get_submodule(name.rpartition(".")[0])).__name__
        if converter is not None:
            raise ArchitectureUnsupported(f"{owner} keeps {name} in another form than the checkpoint ({tensor}).")
        if tuple(state[name].shape) != place.shape:
            raise ModelUnsafe(f"{tensor} has the shape {place.shape} where {owner} has {tuple(state[name].shape)}.")
        sources[name] = tensor
    return sources


def _find_layers(model: Any, config: Any) -> tuple[str, nn.ModuleList]:
    """The list of decoder layers: as long as the config says, and the one that holds most."""
    count = config.get_text_config().num_hidden_layers
    lists = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    lists = [(n, m) for n, m in lists if next(m.parameters(), None) is not None]
    if not lists:
        raise ArchitectureUnsupported(f"{type(model).__name__} has no list of {count} decoder layers.")
    return max(lists, key=lambda found: sum(p.numel() for p in found[1].parameters()))


def _describe_block(name: str, layer: nn.Module, sources: dict[str, str]) -> Block:
    matrices = {}
    for path, module in layer.named_modules():
        weight = f"{name}.{path}.weight"
        if isinstance(module, nn.Linear) and path.rpartition(".")[2] not in _ROUTERS and weight in sources:
            matrices[path] = sources[weight]
    return Block(name, layer, matrices)
