"""The service knows models by names and shapes alone. What it tells is held against the engine, which builds them."""

from pathlib import Path

import pytest

from service.models.folder import FolderFiles
from service.models.headers import read_headers
from service.models.outline import ModelOutline, outline
from service.models.unsupported import reason_against
from tests.support.engine import tiny_decoders
from tests.support.engine.decoder_types import REFUSED, SUPPORTED
from tests.support.size import sampled
from worker import engine

NEARLY = {
    "afmoe": "a bias of its router is a parameter, which in other families is a buffer",
    "dbrx": "its stacks of experts lie flat, some of them the other way round",
    "ernie4_5_moe": "a bias of its router, too",
    "laguna": "a bias of its router, too",
    "longcat_flash": "some of its experts are never used",
    "prophetnet": "a matrix of its is called embeddings, and another one belongs to an encoder",
}
"""Families whose names and shapes do not tell all; these are within a fifth."""


def known_to_service(folder: Path) -> ModelOutline:
    return outline(read_headers(FolderFiles(folder), None))


@pytest.mark.parametrize("model_type", sampled(SUPPORTED))
def test_the_outline_matches_the_engine(tmp_path: Path, model_type: str) -> None:
    tiny_decoders.save(model_type, tmp_path / "model")
    built, told = engine.outline(tmp_path / "model"), known_to_service(tmp_path / "model")
    assert (told.model_type, told.blocks, told.vocab_size, told.dtype) == (
        built.model_type,
        built.blocks,
        built.vocab_size,
        built.dtype,
    )
    sizes = [(one.parameters, one.block_parameters, one.prunable_parameters) for one in (told, built)]
    if model_type in NEARLY:
        assert sizes[0] == pytest.approx(sizes[1], rel=0.2)
    else:
        assert sizes[0] == sizes[1]
        assert told.widest_input >= max(width for _, (_, width) in built.matrices)
    assert sum(kind.rows * kind.columns * kind.count for kind in told.matrix_kinds) == told.prunable_parameters
    assert not any(step.isdigit() for kind in told.matrix_kinds for step in kind.name.split("."))
    assert told.max_sequence_length in (built.max_sequence_length, None)
    assert (told.has_head, built.has_head) == (True, True)
    assert reason_against(told) is None


def test_few_families_are_not_described_completely() -> None:
    assert len(NEARLY) <= 6
    assert not NEARLY.keys() & REFUSED.keys()
