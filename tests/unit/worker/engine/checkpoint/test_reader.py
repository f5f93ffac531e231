import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.support.engine import families
from worker.engine.checkpoint.reader import Checkpoint
from worker.engine.errors import ModelUnsafe


def write(folder: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(raw) if length is None else length
    (folder / "model.safetensors").write_bytes(size.to_bytes(8, "little") + raw + data)
    return folder


def entry(start: int, end: int, shape: list[Any] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_tensor_is_read_as_safetensors_reads_it(tmp_path: Path, dtype: torch.dtype) -> None:
    checkpoint = Checkpoint(families.save("qwen2", tmp_path, dtype=dtype))
    expected = load_file(tmp_path / "model.safetensors")
    assert set(checkpoint.tensors) == set(expected)
    for name, tensor in expected.items():
        ours = checkpoint.read(name)
        assert ours.dtype == tensor.dtype
        assert torch.equal(ours, tensor), name


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        ({"a": entry(0, 8)}, b"\0" * 4, None),  # ends too early
        ({"a": entry(0, 8)}, b"\0" * 12, None),  # bytes that nothing describes
        ({"a": entry(0, 8), "b": entry(4, 12)}, b"\0" * 12, None),  # overlap
        ({"a": entry(0, 4), "b": entry(8, 12)}, b"\0" * 12, None),  # gap
        ({"a": entry(0, 8, [3])}, b"\0" * 8, None),  # shape and bytes disagree
        ({"a": entry(0, 8, [-2])}, b"\0" * 8, None),
        ({"a": entry(0, 8, [2.0])}, b"\0" * 8, None),
        ({"a": entry(0, 8, [True])}, b"\0" * 8, None),
        ({"a": entry(0, 8, [2], "F31")}, b"\0" * 8, None),
        ({"a": {"dtype": "F32"}}, b"", None),
        ({"a": 3}, b"", None),
        ({"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8, None),
        ({"../a": entry(0, 8)}, b"\0" * 8, None),
        ({"a/b": entry(0, 8)}, b"\0" * 8, None),
        ({"a\\b": entry(0, 8)}, b"\0" * 8, None),
        ({"a\0": entry(0, 8)}, b"\0" * 8, None),
        ({"": entry(0, 8)}, b"\0" * 8, None),
        ({"a" * 1001: entry(0, 8)}, b"\0" * 8, None),
        ({"a": entry(0, 8, [2] + [1] * 64)}, b"\0" * 8, None),
        ({"a": entry(0, 0, [2**63, 0])}, b"", None),
        ({"a": entry(0, 8, [10**4000])}, b"\0" * 8, None),
        (b'{"a": [' + b"[]," * 1_000_000 + b"[]]}", b"", None),
        ([], b"", None),
        (b"{not json", b"", None),
        (b"\xff\xfe", b"", None),
        (b"[" * 100_000, b"", None),
        (b"{}", b"", 2**63),
        (b"{}", b"", 100),
    ],
)
def test_invalid_headers_are_refused(tmp_path: Path, header: Any, data: bytes, length: int | None) -> None:
    with pytest.raises(ModelUnsafe):
        Checkpoint(write(tmp_path / "model", header, data, length=length))


def test_a_file_too_short_for_a_header_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", {})
    (folder / "model.safetensors").write_bytes(b"\1\2")
    with pytest.raises(ModelUnsafe):
        Checkpoint(folder)


def test_only_safetensors_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(ModelUnsafe, match="no safetensors"):
        Checkpoint(tmp_path)


def test_a_missing_folder_or_config_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no model folder"):
        Checkpoint(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize("weight_map", [{"a": "../model.safetensors"}, {"a": "/x.safetensors"}, {"a": "x.bin"}, {"a": 1}, {}])
def test_an_index_that_points_elsewhere_is_refused(tmp_path: Path, weight_map: dict[str, Any]) -> None:
    folder = write(tmp_path / "model", {"a": entry(0, 8)}, b"\0" * 8)
    shutil.copy(folder / "model.safetensors", tmp_path / "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelUnsafe):
        Checkpoint(folder)


def test_a_tensor_that_differs_in_another_shard_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a": entry(0, 8)}, b"\0" * 8)
    for name in ("x.safetensors", "y.safetensors"):
        shutil.copy(folder / "model.safetensors", folder / name)
    (folder / "model.safetensors").unlink()
    (folder / "y.safetensors").write_bytes((folder / "y.safetensors").read_bytes()[:-1] + b"1")
    index = {"weight_map": {"a": "x.safetensors", "b": "y.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnsafe, match="differs in y"):
        Checkpoint(folder)


def test_only_links_of_the_hub_cache_may_leave_the_folder(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    outside, stray = tmp_path / "outside", tmp_path / "stray"
    shutil.copytree(checkpoint("llama"), outside)
    stray.mkdir()
    cache = tmp_path / "models--a--b"
    snapshot = cache / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    shutil.copytree(outside, cache / "blobs")
    for name in ("config.json", "model.safetensors"):
        (stray / name).symlink_to(outside / name)
        (snapshot / name).symlink_to(cache / "blobs" / name)
    with pytest.raises(ModelUnsafe, match="leads out"):
        Checkpoint(stray)
    assert Checkpoint(snapshot).tensors == Checkpoint(outside).tensors
