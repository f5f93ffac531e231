"""`dsnot artifacts unpack`, `apply-mask` and `verify` on a folder, as a user runs them; no service is needed."""

import json
from pathlib import Path

import pytest

from service.packing import Origin, make_mask, pack
from tests.support.command_line import dsnot
from tests.support.shard_files import pruned, random_bits, write


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    tensor = random_bits("BF16", (64, 64), zeros=0)
    base = write(tmp_path / "base" / "model.safetensors", {"t": tensor})
    dense = write(tmp_path / "dense" / "model.safetensors", {"t": pruned(tensor, share=0.6)})
    folder = tmp_path / "artifact"
    folder.mkdir()
    pack(dense, folder / "model.packed")
    make_mask(dense, base, folder / "model.mask", origin=Origin(source="hub", id="org/model", revision="1"))
    return folder


@pytest.mark.parametrize("command", ["unpack", "apply-mask"])
def test_unpacking_restores_the_dense_files(artifact: Path, tmp_path: Path, command: str) -> None:
    base = ["--base", str(tmp_path / "base")] if command == "apply-mask" else []
    done = dsnot(tmp_path, "artifacts", command, str(artifact), "--to", str(tmp_path / "made"), *base)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'made'}\n"
    assert "from_pretrained" in done.stderr
    assert (tmp_path / "made" / "model.safetensors").read_bytes() == (tmp_path / "dense" / "model.safetensors").read_bytes()


def test_an_error_is_one_sentence_and_exit_status_1(artifact: Path, tmp_path: Path) -> None:
    path = artifact / "model.packed"
    path.write_bytes(path.read_bytes()[:-1])
    for command in (["unpack", str(artifact)], ["unpack", str(tmp_path / "base")], ["verify", str(tmp_path / "nowhere")]):
        done = dsnot(tmp_path, "artifacts", *command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert done.stderr.startswith("dsnot: ")


def test_verification_reports_every_fault(artifact: Path, tmp_path: Path) -> None:
    sound = dsnot(tmp_path, "artifacts", "verify", str(artifact))
    assert (sound.returncode, sound.stderr) == (0, "2 files, all as they were published\n")
    for name in ("model.packed", "model.mask"):
        path = artifact / name
        path.write_bytes(path.read_bytes()[: 100 if name == "model.mask" else -1] + b"x")
    done = dsnot(tmp_path, "artifacts", "verify", str(artifact), "--json")
    assert done.returncode == 1
    faults = json.loads(done.stdout)["faults"]
    assert [(fault["path"], fault["type"]) for fault in faults] == [("model.mask", "truncated"), ("model.packed", "altered")]
    assert all(fault["detail"] in done.stderr for fault in faults)
