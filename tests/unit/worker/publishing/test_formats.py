"""The formats that a worker makes of the dense checkpoint, and what it says of their sizes."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow
import pytest
import torch
from safetensors.torch import load_file, save_file

from service.contract.disk import formats_bytes
from service.contract.formats import Format, WeightSizes
from service.contract.spec import JobSpec
from service.packing import KeptWeightChanged, apply_mask, unpack
from tests.support import checkpoints
from worker.inputs.models import Model
from worker.publishing import formats
from worker.publishing.formats import write_formats
from worker.publishing.model_card.formats import formats_section

ALL: list[Format] = ["dense", "packed", "mask"]


@dataclass(frozen=True)
class Case:
    model: Model
    folder: Path
    before: bytes
    """Of the pruned file."""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A model, and its copy with six of ten weights of the matrices zero."""
    source = checkpoints.save(tmp_path / "source", hidden_size=64, intermediate_size=128)
    folder = checkpoints.save(tmp_path / "pruned", hidden_size=64, intermediate_size=128)
    tensors = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if "_proj" in name:
            tensor[torch.rand(tensor.shape, generator=generator) < 0.6] = 0
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    model = Model("organisation/model", source, "ab" * 20, None, None)
    return Case(model, folder, (folder / "model.safetensors").read_bytes())


def spec(*wanted: Format, source: str = "hub") -> JobSpec:
    return JobSpec.model_validate(
        {"model": {"source": source, "id": "organisation/model"}, "output": {"formats": list(wanted)}}
        | {"recipe": {"pattern": {"type": "unstructured", "sparsity": 0.6}}}
    )


def write(case: Case, *wanted: Format, source: str = "hub") -> WeightSizes:
    return write_formats(case.folder, spec=spec(*wanted, source=source), model=case.model, tick=lambda: None)


@pytest.mark.parametrize("wanted", [["dense"], ["packed"], ["mask"], ["dense", "packed"], ["mask", "packed"], ALL])
def test_the_folder_has_exactly_the_requested_formats(case: Case, wanted: list[Format]) -> None:
    sizes = write(case, *wanted)
    suffixes = {"dense": ".safetensors", "packed": ".packed", "mask": ".mask"}
    assert {path.suffix for path in case.folder.glob("model*")} == {suffixes[name] for name in wanted}
    assert sizes.dense == len(case.before)
    assert (sizes.mask is None) == ("mask" not in wanted)
    for name, size in (("packed", sizes.packed), ("mask", sizes.mask)):
        if name in wanted:
            assert (case.folder / f"model.{name}").stat().st_size == size


def test_each_format_restores_the_dense_file(case: Case, tmp_path: Path) -> None:
    write(case, "packed", "mask")
    unpack(case.folder, tmp_path / "unpacked")
    apply_mask(case.folder, case.model.path, tmp_path / "masked")
    for made in ("unpacked", "masked"):
        assert (tmp_path / made / "model.safetensors").read_bytes() == case.before


def test_the_packed_size_is_reported_even_if_not_packed(case: Case) -> None:
    counted = write(case, "dense").packed
    assert counted == pytest.approx(write(case, "packed").packed, rel=0.05)


def test_the_zstd_size_matches_pyarrow_on_the_whole_file(case: Case) -> None:
    sizes = write(case, "dense")
    expected = len(pyarrow.Codec("zstd", compression_level=1).compress(case.before))
    assert (sizes.zstd, sizes.zstd_share_measured) == (expected, 1.0)


def test_a_large_model_is_sampled_at_equal_distances(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = write(case, "dense").zstd
    monkeypatch.setattr(formats, "_PIECE", 4096)
    monkeypatch.setattr(formats, "_PIECES", 16)
    sizes = write(case, "dense")
    assert sizes.zstd_share_measured < 0.6
    assert sizes.zstd == pytest.approx(exact, rel=0.3)


def test_a_mask_of_updated_weights_is_refused(case: Case) -> None:
    tensors = load_file(case.folder / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"] += 1
    save_file(tensors, case.folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(KeptWeightChanged, match="up_proj"):
        write(case, "mask")


@pytest.mark.parametrize(("source", "revision"), [("hub", "ab" * 20), ("local", None)])
def test_the_mask_names_a_revision_that_can_be_downloaded(case: Case, source: str, revision: str | None) -> None:
    write(case, "mask", source=source)
    content = (case.folder / "model.mask").read_bytes()
    assert (b'"revision":"' + ("ab" * 20).encode() in content) == (revision is not None)


def test_the_reserved_disk_space_suffices(case: Case) -> None:
    sizes = write(case, *ALL)
    assert sizes.mask is not None
    prunable = sum(t.nbytes for name, t in load_file(case.folder / "model.safetensors").items() if "_proj" in name)
    reserved = formats_bytes(spec(*ALL), weights=sizes.dense, prunable=prunable)
    assert sizes.packed + sizes.mask <= reserved + 16_384  # heads and headers, which are much of so small a model
    assert formats_bytes(spec("dense"), weights=sizes.dense, prunable=prunable) == 0


def test_the_card_lists_the_formats_and_how_to_load_them() -> None:
    sizes = WeightSizes(dense=2000, packed=925, mask=None, zstd=1000, zstd_share_measured=0.25)
    section = formats_section(["packed"], sizes)
    assert "| dense (`.safetensors`, zeros included) | 2,000 | 100.0% | no |" in section
    assert "| packed (`.packed`, without the zeros) | 925 | 46.2% | yes |" in section
    assert "| mask (`.mask`, only where the zeros are) | not made |  | no |" in section
    assert "zstd at level 1, measured on 25.0% of them | 1,000 | 50.0% | no |" in section
    assert "dsnot artifacts unpack" in section
    assert "cannot be loaded before that" in section
    assert "apply-mask" not in section
    assert "cannot be loaded" not in formats_section(["dense", "mask"], sizes)
