"""Model structure without weights: decoder blocks, their prunable matrices and the location of each.

The model is built by transformers on the meta device (shapes without data), so all its decoders are handled the same way.

Words:   block   one decoder layer
         matrix  a weight (out, in) that a block multiplies its tokens by; routers are never pruned
         coverage  weights of matrices / parameters of blocks, 0 to 1
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from service.contract.checkpoints import reason_against_layers
from service.contract.recipe.pattern import Pattern
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.checkpoint.weight_mapping import WeightMapping, match_tensors
from worker.engine.errors import ArchitectureUnsupported
from worker.engine.model.decoder_layers import find_layers, reads_text
from worker.engine.model.matrices import Matrix, find_matrices, is_counted
from worker.engine.model.meta import build_on_meta, check_supported, other_models, read_config, text_config, text_model
from worker.engine.model.sequence_length import max_sequence_length


@dataclass(frozen=True)
class Outline:
    """Summary of a checkpoint, from its config and headers alone."""

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
    matrices: tuple[tuple[str, tuple[int, int]], ...]  # name, (out, in)
    has_head: bool = True
    encoder_parameters: int = 0  # of the models in a composite one that text does not pass


@dataclass(frozen=True)
class Block:
    """One decoder layer, on the meta device unless it is loaded."""

    name: str  # path in the model
    module: nn.Module
    matrices: tuple[Matrix, ...]

    @property
    def position(self) -> int:
        """Index among the decoder layers."""
        return int(self.name.rpartition(".")[2])


@dataclass(frozen=True)
class Architecture:
    """Model on the meta device, with the mapping from its checkpoint's tensors."""

    checkpoint: Checkpoint
    config: Any
    model: Any  # transformers.PreTrainedModel
    layers: nn.ModuleList  # decoder layers; temporarily replaced by stand-ins
    blocks: tuple[Block, ...]  # the layers that text passes
    block_parameters: int  # shared parameters are counted once
    fillings: dict[str, WeightMapping]  # by parameter or buffer name
    tied: dict[str, str]  # parameter missing in the checkpoint: the parameter it is tied to
    encoders: dict[str, nn.Module]  # by path, the models in a composite one that text does not pass; never loaded
    has_head: bool  # whether the checkpoint has the weights that compute logits from the last hidden states

    @property
    def decoder(self) -> Any:
        """The model without its head, from token ids to the last hidden states."""
        base = self.model.base_model
        return text_model(self.model)[1].base_model if base is self.model else base

    @property
    def has_experts(self) -> bool:
        """Whether a router decides which tokens some matrices see."""
        return any(matrix.experts is not None for block in self.blocks for matrix in block.matrices)

    @property
    def max_sequence_length(self) -> int | None:
        """Maximum number of tokens in a sequence; None if there is no limit."""
        return max_sequence_length(text_config(self.config), self.model)

    def under(self, pattern: Pattern) -> "Architecture":
        """Return the architecture without the matrices that stay dense under a pattern. ValueError: all do."""
        kept = [tuple(matrix for matrix in block.matrices if pattern.fits(matrix.shape[1])) for block in self.blocks]
        if not any(kept):
            widths = sorted({width for _, (_, width) in self.matrix_shapes()})
            raise ValueError(f"Groups of the pattern {pattern} fit no matrix: none of {widths} inputs is a multiple of them.")
        return replace(self, blocks=tuple(replace(block, matrices=some) for block, some in zip(self.blocks, kept, strict=True)))

    def tensors_of(self, block: Block) -> list[str]:
        """Return the names of the checkpoint's tensors that a block is loaded from."""
        names = (f"{block.name}.{name}" for name, _ in block.module.named_parameters())
        return sorted({tensor for name in names if name in self.fillings for tensor in self.fillings[name].tensors})

    def matrix_shapes(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield name and shape (out, in) of every matrix, in model order."""
        for block in self.blocks:
            for matrix in block.matrices:
                yield matrix.name, matrix.shape


def outline(source: Path) -> Outline:
    """Return the outline of the checkpoint in the folder `source`. Read its config and headers only; run none of its code.

    Raises:
        FileNotFoundError: the folder or its config is missing.
        ModelUnsafe: custom code, no safetensors, an invalid header, or names that leave the folder.
        ArchitectureUnsupported: transformers does not know it as a causal language model, or nothing can be pruned.
    """
    return describe(load_structure(source))


def describe(arch: Architecture) -> Outline:
    """Return the outline of a model whose structure is loaded."""
    matrices = tuple(arch.matrix_shapes())
    prunable = sum(out * width for _, (out, width) in matrices)
    text = text_config(arch.config)
    return Outline(
        model_type=arch.config.model_type,
        architecture=type(arch.model).__name__,
        parameters=sum(p.numel() for p in arch.model.parameters()),
        block_parameters=arch.block_parameters,
        prunable_parameters=prunable,
        coverage=prunable / arch.block_parameters,
        blocks=len(arch.blocks),
        max_sequence_length=arch.max_sequence_length,
        vocab_size=text.vocab_size,
        dtype=str(arch.model.dtype).removeprefix("torch."),
        matrices=matrices,
        has_head=arch.has_head,
        encoder_parameters=sum(p.numel() for encoder in arch.encoders.values() for p in encoder.parameters()),
    )


def load_structure(source: Path) -> Architecture:
    """Return the model of the folder `source` on the meta device; raises the errors of `outline`."""
    checkpoint = Checkpoint(source)
    config = read_config(checkpoint)
    check_supported(config)
    model = build_on_meta(checkpoint, config)
    fillings = match_tensors(checkpoint, model)
    path, layers = find_layers(model)
    blocks = tuple(_describe_block(f"{path}.{i}", layer, fillings) for i, layer in enumerate(layers) if reads_text(layer))
    if not any(block.matrices for block in blocks):
        raise _nothing_to_prune(model, path, layers, fillings)
    tied = _tied(model, fillings)
    encoders = other_models(model)
    has_head = _check_complete(model, path, layers, encoders, {*fillings, *tied})
    counted = {f"{path}.{name}": p.numel() for name, p in layers.named_parameters() if is_counted(name)}
    size = sum(numel for name, numel in counted.items() if name not in tied)
    return Architecture(checkpoint, config, model, layers, blocks, size, fillings, tied, encoders, has_head)


def _nothing_to_prune(
    model: Any, path: str, layers: nn.ModuleList, fillings: dict[str, WeightMapping]
) -> ArchitectureUnsupported:
    kind = type(layers[0]).__name__
    if not any(name.startswith(f"{path}.") for name in fillings):
        return ArchitectureUnsupported(
            f"The checkpoint has no tensor for any matrix of {kind} by the names that its config implies."
        )
    kinds = sorted({type(m).__name__ for m in layers.modules() if next(m.parameters(recurse=False), None) is not None})
    return ArchitectureUnsupported(
        f"{type(model).__name__} has no matrix that can be pruned in its blocks ({kind}); its weights are in {', '.join(kinds)}."
    )


def _describe_block(name: str, layer: nn.Module, fillings: dict[str, WeightMapping]) -> Block:
    return Block(name, layer, find_matrices(name, layer, fillings))


def _check_complete(
    model: Any, path: str, layers: nn.ModuleList, encoders: Mapping[str, nn.Module], filled: Collection[str]
) -> bool:
    """Return whether the head's parameters are filled. ArchitectureUnsupported if one below the head is not."""
    present = [i for i, layer in enumerate(layers) if any(f"{path}.{i}.{name}" in filled for name, _ in layer.named_parameters())]
    if reason := reason_against_layers(len(layers), present):
        raise ArchitectureUnsupported(reason)
    base = {id(parameter) for parameter in model.base_model.parameters()}
    unused = {id(parameter) for encoder in encoders.values() for parameter in encoder.parameters()}
    needed = ((name, id(parameter)) for name, parameter in model.named_parameters() if id(parameter) not in unused)
    missing = [(name, key in base) for name, key in needed if name not in filled]
    below = [name for name, is_below in missing if is_below and not _is_head(model, name)]
    if below:
        raise ArchitectureUnsupported(
            f"The checkpoint has no tensor for {below[0]} of {type(model).__name__} ({len(below)} are missing); "
            "complete the shards and their index, or correct config.json."
        )
    return not missing


def _is_head(model: Any, parameter: str) -> bool:
    """Return whether the parameter belongs to the output projection, of a model that is its own base as well."""
    head = model.get_output_embeddings()
    return model.base_model is model and head is not None and model.get_submodule(parameter.rpartition(".")[0]) is head


def _tied(model: Any, fillings: dict[str, WeightMapping]) -> dict[str, str]:
    """Return for every tied parameter without a tensor the one it is tied to, whichever of the two is stored."""
    tied = {}
    for target, source in model.all_tied_weights_keys.items():
        missing, present = (source, target) if source not in fillings else (target, source)
        if missing in fillings:
            continue
        if present not in fillings:
            raise ArchitectureUnsupported(f"The checkpoint has no tensor for {missing}, nor for {present}, to which it is tied.")
        tied[missing] = present
    return tied
