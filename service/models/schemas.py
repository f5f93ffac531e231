"""API schemas of model inspection."""

from collections.abc import Sequence
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract.model_checks import MatrixKind
from service.contract.model_spec import ModelSpec
from service.models.operations import Inspection

_MOST_KINDS: Final = 200


class LocalModel(BaseModel):
    """A local model, as a job's `model` names it."""

    source: Literal["local"] = "local"
    id: str


class LocalModels(BaseModel):
    """Local models, by id."""

    model_config = ConfigDict(json_schema_extra={"example": {"items": [{"source": "local", "id": "mine"}]}})

    items: list[LocalModel]

    @classmethod
    def of(cls, ids: Sequence[str]) -> Self:
        """Return the list of these ids."""
        return cls(items=[LocalModel(id=each) for each in ids])


class InspectionView(BaseModel):
    """Structure of a model, read from its config and safetensors headers without its weights, and checked by a worker."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "model": {"source": "hub", "id": "org/model", "revision": "0" * 40, "token": None},
                "can_be_pruned": True,
                "is_checked": True,
                "why_not": None,
                "model_type": "llama",
                "architecture": "LlamaForCausalLM",
                "dtype": "bfloat16",
                "parameters": 8030261248,
                "block_parameters": 6979584000,
                "prunable_parameters": 6979321856,
                "prunable_share": 0.869,
                "coverage": 0.99996,
                "blocks": 32,
                "matrices": [{"name": "self_attn.q_proj.weight", "rows": 4096, "columns": 4096, "count": 32}],
                "weight_bytes": 16060522496,
                "hidden_size": 4096,
                "vocab_size": 128256,
                "max_sequence_length": 131072,
                "license": "llama3.1",
                "warnings": [],
            }
        }
    )

    model: ModelSpec = Field(description="with its revision pinned")
    can_be_pruned: bool
    is_checked: bool = Field(description="whether a worker has built the model without weights; if not, a warning says why")
    why_not: str | None
    model_type: str | None
    architecture: str | None
    dtype: str = Field(description="dtype in which transformers loads the model")
    parameters: int
    block_parameters: int = Field(description="parameters of the decoder blocks")
    prunable_parameters: int = Field(description="parameters in matrices that can be pruned")
    prunable_share: float = Field(description="prunable share of all parameters, 0 to 1")
    coverage: float = Field(description="prunable share of the blocks' parameters, 0 to 1; below 0.95 there is a warning")
    blocks: int
    matrices: list[MatrixKind] = Field(description=f"kinds of prunable matrices, at most {_MOST_KINDS}")
    weight_bytes: int
    hidden_size: int | None
    vocab_size: int | None
    max_sequence_length: int | None
    license: str | None = Field(description="as the hub's model card states it")
    warnings: list[str]

    @classmethod
    def of(cls, found: Inspection) -> Self:
        """Return the view of an inspection."""
        outline = found.outline
        return cls(
            model=found.model,
            can_be_pruned=found.why_not is None,
            is_checked=found.is_checked,
            why_not=found.why_not,
            model_type=outline.model_type,
            architecture=outline.architecture,
            dtype=outline.dtype,
            parameters=outline.parameters,
            block_parameters=outline.block_parameters,
            prunable_parameters=outline.prunable_parameters,
            prunable_share=round(outline.prunable_parameters / max(outline.parameters, 1), 6),
            coverage=round(outline.coverage, 6),
            blocks=outline.blocks,
            matrices=list(outline.matrix_kinds[:_MOST_KINDS]),
            weight_bytes=outline.weight_bytes,
            hidden_size=outline.hidden_size,
            vocab_size=outline.vocab_size,
            max_sequence_length=outline.max_sequence_length,
            license=found.license,
            warnings=found.warnings,
        )
