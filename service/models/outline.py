"""Structure of a checkpoint, derived from its config and tensor names and shapes, without weights or a built model.

The engine, which builds the model, has the final say; a test compares the two on every supported family. A worker
answers within seconds (`service/models/checks`).

Words:   block     one decoder layer: the tensors under one index of the outermost numbered list that has most weights
         matrix    a weight that a block multiplies its tokens by; routers, norms, embeddings, convolutions are none
         coverage  weights of matrices / parameters of blocks, 0 to 1
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, Self

from service.contract.checkpoints import reason_against_layers
from service.contract.model_checks import MatrixKind, ModelFacts, kinds_of
from service.models.checkpoint import CheckpointHeaders, TensorHeader
from service.models.config import layer_count, max_sequence_length, sizes_of, texts

_FLOATS: Final = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
}
"""Safetensors dtype of parameters → torch name and bytes."""
_BYTES: Final = dict(_FLOATS.values())
_NUMBERED: Final = re.compile(r"^(?:(.*?)\.)?(\d+)\.(.+)$")
_BESIDE: Final = re.compile("vision|visual|image|audio|video|embed|merger|vqmodel")
_TEXT: Final = re.compile(r"(^|\.)(language_model|text_model)(\.|$)")
"""In the names of the text part of a composite model."""
_UNUSED: Final = re.compile(r"(^|\.)(encoder_attn|cross_attn|crossattention)(\.|_)")
_BUFFER: Final = re.compile(
    r"(^|\.)(inv_freq|masked_bias|attn\.bias|attention\.bias|num_batches_tracked|global_(mean|invstd)|layer_scalar|slope_rate"
    r"|(query|key|diagonal)_decay|e_score_correction_bias|expert_bias|balancing_biases|act_fn\.(beta|eps))$"
)
"""Tensors that checkpoints contain and models load as buffers, not parameters."""
_NO_MATRIX: Final = re.compile(
    r"(^|\.)(gate|router|shared_expert_gate)\.|(^|\.)vision_moe\.|_(bias|scale|scales|blocks)$|\.bias$"
)
_NO_MATRIX_OWNER: Final = re.compile("norm|embed|conv|relative_attention_bias")
"""In the name of the module whose `weight` is not a pruned matrix."""
_EXPERTS: Final = re.compile(r"(^|\.)(shared_)?experts\.|(^|\.)(input|output)_linear\.weight$")


@dataclass(frozen=True)
class MatrixOutline:
    """A matrix of a block, or a stack of `copies` equal ones in one tensor: the experts of a mixture."""

    name: str
    """Name within its block."""
    rows: int
    """Number of outputs."""
    columns: int
    """Number of inputs; for stacked experts the larger side, because names and shapes do not determine it."""
    copies: int
    is_expert: bool

    @property
    def weights(self) -> int:
        """Number of weights of all copies."""
        return self.rows * self.columns * self.copies


@dataclass(frozen=True)
class ModelOutline:
    """Structure of a checkpoint; sizes are numbers of weights unless named bytes."""

    model_type: str | None
    architecture: str | None
    parameters: int
    block_parameters: int
    prunable_parameters: int
    blocks: int
    matrices: int
    """Number of matrices in all blocks."""
    largest_block: int
    """Parameters of the largest block."""
    widest_input: int
    """Maximum number of inputs of any matrix."""
    matrix_rows: int
    """Sum of the outputs of all matrices of the largest block."""
    largest_matrices: tuple[MatrixOutline, ...]
    """Matrices of the largest block."""
    matrix_kinds: tuple[MatrixKind, ...]
    """Kinds of matrices in the order of the blocks."""
    hidden_size: int | None
    vocab_size: int | None
    max_sequence_length: int | None
    dtype: str
    """Torch dtype in which transformers loads the model: `bfloat16`, …"""
    bytes_per_parameter: int
    weight_bytes: int
    """Total size of the safetensors files in bytes."""
    incomplete: str | None = None
    """Reason why decoder layers are incomplete."""
    has_head: bool = True
    """False if a language-model head is certainly missing; names and shapes do not always show it."""
    encoder_parameters: int = 0
    """Parameters of encoders, which are not loaded for pruning; 0 until a worker has checked the model."""

    @property
    def coverage(self) -> float:
        """Prunable share of the blocks' parameters, 0 to 1."""
        return self.prunable_parameters / self.block_parameters if self.block_parameters else 0.0

    def checked(self, facts: ModelFacts) -> Self:
        """Return the outline with the structure that a worker has found."""
        found = {name: getattr(facts, name) for name in ModelFacts.model_fields}
        return replace(self, **found, bytes_per_parameter=_BYTES.get(facts.dtype, self.bytes_per_parameter))


def outline(headers: CheckpointHeaders) -> ModelOutline:
    """Derive the structure of a checkpoint from its config, names and shapes."""
    config, tensors = headers.config, {name: t for name, t in headers.tensors.items() if _counts(name, t)}
    layers = layer_count(config)
    blocks = _blocks(tensors, layers)
    counts = {number: sum(prod(t.shape) for t in block.values()) for number, block in blocks.items()}
    matrices = {
        number: [_matrix(name, t) for name, t in block.items() if _is_matrix(name, t)] for number, block in blocks.items()
    }
    largest = max(counts, key=lambda number: counts[number], default=None)
    dtype = _loaded_dtype(config, headers)
    vocab_size = next(iter(sizes_of(config, ("vocab_size",)).values()), None)
    return ModelOutline(
        model_type=_text(config.get("model_type")),
        architecture=next(iter(texts(config.get("architectures"))), None),
        parameters=sum(prod(t.shape) for t in tensors.values()),
        block_parameters=sum(counts.values()),
        prunable_parameters=sum(matrix.weights for block in matrices.values() for matrix in block),
        blocks=len(blocks),
        matrices=sum(map(len, matrices.values())),
        largest_block=counts[largest] if largest is not None else 0,
        widest_input=max((matrix.columns for block in matrices.values() for matrix in block), default=0),
        matrix_rows=sum(matrix.rows * matrix.copies for matrix in matrices[largest]) if largest is not None else 0,
        largest_matrices=tuple(matrices[largest]) if largest is not None else (),
        matrix_kinds=kinds_of((m.name, m.rows, m.columns, m.copies) for block in matrices.values() for m in block),
        hidden_size=next(iter(sizes_of(config, ("hidden_size", "n_embd", "d_model")).values()), None),
        vocab_size=vocab_size,
        max_sequence_length=max_sequence_length(config),
        dtype=dtype,
        bytes_per_parameter=_BYTES[dtype],
        weight_bytes=sum(headers.shards.values()),
        incomplete=reason_against_layers(layers or max(blocks) + 1, blocks) if blocks else None,
        has_head=_has_head(config, tensors, vocab_size),
    )


def _counts(name: str, tensor: TensorHeader) -> bool:
    """Check whether the tensor is a parameter and not a saved buffer."""
    return tensor.dtype in _FLOATS and not _BUFFER.search(name)


def _blocks(tensors: Mapping[str, TensorHeader], count: int | None) -> dict[int, dict[str, TensorHeader]]:
    """Return the tensors of each block by name within it, without the layers beyond the config's count, which never run."""
    lists: defaultdict[str, defaultdict[int, dict[str, TensorHeader]]] = defaultdict(lambda: defaultdict(dict))
    for name, tensor in tensors.items():
        found = _NUMBERED.match(name)
        if found and not _BESIDE.search(found[1] or ""):
            lists[found[1] or ""][int(found[2])][found[3]] = tensor
    if not lists:
        return {}
    of_text = {path: blocks for path, blocks in lists.items() if _TEXT.search(path)}
    most = max(
        (of_text or lists).values(), key=lambda blocks: sum(prod(t.shape) for block in blocks.values() for t in block.values())
    )
    used = {number: block for number, block in sorted(most.items()) if count is None or number < count}
    return {number: {name: t for name, t in block.items() if not _UNUSED.search(name)} for number, block in used.items()}


def _is_matrix(name: str, tensor: TensorHeader) -> bool:
    path, _, kind = name.rpartition(".")
    owner = path.rpartition(".")[2]
    if _NO_MATRIX.search(name) or len(tensor.shape) not in (2, 3) or (kind == "weight" and _NO_MATRIX_OWNER.search(owner)):
        return False
    return bool(_EXPERTS.search(name)) or (kind == "weight" and bool(path) and len(tensor.shape) == 2)


def _matrix(name: str, tensor: TensorHeader) -> MatrixOutline:
    """Describe a matrix; for a stack the larger side counts as the inputs."""
    is_expert = bool(_EXPERTS.search(name))
    if len(tensor.shape) == 2:
        return MatrixOutline(name, *tensor.shape, copies=1, is_expert=is_expert)
    copies, width = tensor.shape[0], max(tensor.shape[1:])
    return MatrixOutline(name, min(tensor.shape[1:]), width, copies=copies, is_expert=is_expert)


def _loaded_dtype(config: Mapping[str, Any], headers: CheckpointHeaders) -> str:
    """Return the dtype that transformers takes: the config's, else that of the first floating-point tensor."""
    named = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    return named if named in _BYTES else _FLOATS.get(headers.first_dtype or "", ("float32", 4))[0]


def _has_head(config: Mapping[str, Any], tensors: Mapping[str, TensorHeader], vocab_size: int | None) -> bool:
    """Check for a second table as large as the vocabulary, unless the head is tied to the embeddings or may be."""
    texts = [part for part in config.values() if isinstance(part, dict)]
    ties = [part["tie_word_embeddings"] for part in (config, *texts) if "tie_word_embeddings" in part]
    if vocab_size is None or not ties or any(ties):
        return True
    outside = (t for name, t in tensors.items() if not (found := _NUMBERED.match(name)) or "head" in (found[1] or ""))
    return sum(len(t.shape) == 2 and max(t.shape) >= vocab_size for t in outside) > 1


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
