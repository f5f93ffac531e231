"""Files that are cut, altered, foreign or newer, and folders that are not complete: each its own error, which says what to do."""

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.contract.artifacts import Manifest, ManifestFile
from service.packing import (
    Altered,
    Missing,
    NewerVersion,
    NotAContainer,
    NothingToDo,
    Origin,
    PackingError,
    Truncated,
    WrongBase,
    apply_mask,
    make_mask,
    pack,
    unpack,
    verify,
)
from service.packing.container import opened
from tests.support.shard_files import pruned, random_bits, write

PRELUDE = struct.Struct("<8sIIQQ32s")
ORIGIN = Origin(source="hub", id="organisation/model", revision="abc123")
BASE = {f"t{n}": random_bits("BF16", (32, 32), zeros=0, seed=n) for n in range(2)}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A folder with a packed file, a mask, a config, a template and SHA256SUMS; the base beside it."""
    folder = tmp_path / "artifact"
    base = write(tmp_path / "base" / "model.safetensors", BASE)
    dense = write(tmp_path / "dense" / "model.safetensors", {name: pruned(tensor, share=0.6) for name, tensor in BASE.items()})
    (folder / "additional_chat_templates").mkdir(parents=True)
    (folder / "additional_chat_templates" / "tools.jinja").write_text("x")
    (folder / "config.json").write_text("{}")
    pack(dense, folder / "model.packed")
    make_mask(dense, base, folder / "model.mask", origin=ORIGIN)
    write_sums(folder)
    return folder


def write_sums(folder: Path) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n" for p in paths]
    (folder / "SHA256SUMS").write_text("".join(lines))


def use(folder: Path, name: str) -> None:
    """Make safetensors files of the packed file or of the mask."""
    if name == "model.mask":
        apply_mask(folder, folder.parent / "base", folder.parent / "made")
    else:
        unpack(folder, folder.parent / "made")


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """A file whose header was changed by somebody who knows how to write one."""

    def rewrite(content: bytes) -> bytes:
        magic, version, flags, start, length, _ = PRELUDE.unpack(content[:64])
        header = json.loads(content[start : start + length])
        change(header)
        text = json.dumps(header).encode()
        prelude = PRELUDE.pack(magic, version, flags, start, len(text), hashlib.sha256(text).digest())
        return prelude + content[64:start] + text

    return rewrite


def newer(content: bytes) -> bytes:
    return content[:8] + (2).to_bytes(4, "little") + b"of which nothing is known here"


def flipped(place: int) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        start = PRELUDE.unpack(content[:64])[3]
        at = place if place >= 0 else start + place
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return flip


DAMAGE: dict[str, tuple[type[PackingError], Callable[[bytes], bytes]]] = {
    "cut in the header": (Truncated, lambda content: content[:-1]),
    "cut in the sections": (Truncated, lambda content: content[: len(content) // 3]),
    "cut in the prelude": (Truncated, lambda content: content[:20]),
    "never finished": (Truncated, lambda content: bytes(64) + content[64:]),
    "empty": (Truncated, lambda _: b""),
    "longer": (Altered, lambda content: content + b"x"),
    "another version": (NewerVersion, lambda content: newer(content) + bytes(64)),
    "something else": (NotAContainer, lambda _: b"PK\x03\x04" + bytes(range(200))),
    "something short": (NotAContainer, lambda _: b"oid sha256:"),
    "version 0": (Altered, lambda content: content[:8] + bytes(4) + content[12:]),
    "a bit of the header": (Altered, lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]),
    "a bit of the head": (Altered, flipped(90)),
    "a bit of the last section": (Altered, flipped(-120)),
    "a name that leads out": (Altered, rewritten(lambda header: header["file"].update(name="../x.safetensors"))),
    "a hidden name": (Altered, rewritten(lambda header: header["file"].update(name=".x.safetensors"))),
    "another size": (Altered, rewritten(lambda header: header["file"].update(bytes=1))),
    "another table": (Altered, rewritten(lambda header: header["tensors"].pop())),
    "another shape": (Altered, rewritten(lambda header: header["tensors"][0].update(shape=[1024]))),
    "a section elsewhere": (Altered, rewritten(lambda header: header["tensors"][0].update(bits=[10**9, 10**9 + 128]))),
    "a section that is too short": (Altered, rewritten(lambda header: header["tensors"][0].update(bits=[64, 65]))),
    "an unknown encoding": (Altered, rewritten(lambda header: header["tensors"][0].update(encoding="new"))),
    "the other kind": (
        Altered,
        rewritten(lambda header: header.update(kind={"mask": "packed", "packed": "mask"}[header["kind"]])),
    ),
    "no JSON": (Altered, rewritten(lambda header: header.clear())),
}


@pytest.mark.parametrize("name", ["model.packed", "model.mask"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_and_leaves_nothing(artifact: Path, name: str, damage: str) -> None:
    error, change = DAMAGE[damage]
    path = artifact / name
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(error, match=name) as caught:
        use(artifact, name)

    assert "dsnot" in str(caught.value)
    assert list((artifact.parent / "made").glob("model*")) == []
    (fault,) = verify(artifact).faults
    assert (type(fault), fault.path) == (error, name)


def test_unknown_members_are_ignored(artifact: Path) -> None:
    path = artifact / "model.packed"
    path.write_bytes(rewritten(lambda header: header.update(more={"a": 1}))(path.read_bytes()))
    unpack(artifact)
    assert (artifact / "model.safetensors").read_bytes() == (artifact.parent / "dense" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("count", ["more", "fewer"])
def test_bits_and_values_must_match(artifact: Path, count: str) -> None:
    path = artifact / "model.packed"
    with opened(path) as container:
        bits = container.header.tensors[0].bits[0]  # type: ignore[union-attr]
    content = bytearray(path.read_bytes())
    content[bits] = 0xFF if count == "more" else 0x00
    path.write_bytes(content)
    with pytest.raises(Altered, match=r"model\.packed is damaged or was changed"):
        unpack(artifact)


@pytest.mark.parametrize("difference", ["a value", "a name", "a shape"])
def test_another_base_is_refused_by_name_and_revision(artifact: Path, difference: str) -> None:
    base = dict(BASE)
    if difference == "a value":
        base["t1"] = random_bits("BF16", (32, 32), zeros=0, seed=9)
    elif difference == "a name":
        base["t2"] = base.pop("t1")
    else:
        base["t1"] = ("BF16", (16, 64), base["t1"][2])
    write(artifact.parent / "base" / "model.safetensors", base)
    with pytest.raises(WrongBase, match="organisation/model at revision abc123"):
        use(artifact, "model.mask")
    assert list((artifact.parent / "made").glob("model*")) == []


def test_an_unpacked_folder_is_complete_and_passes_sha256sum(artifact: Path) -> None:
    unpack(artifact, artifact.parent / "made")
    made = artifact.parent / "made"
    assert {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()} == {
        *("SHA256SUMS", "additional_chat_templates/tools.jinja", "config.json", "model.safetensors"),
    }
    assert verify(made).faults == []
    assert "model.safetensors" in verify(made).files
    (made / "config.json").write_text("[]")
    assert [(fault.path, fault.type) for fault in verify(made).faults] == [("config.json", "altered")]


def test_files_unpacked_into_the_folder_are_verified_too(artifact: Path) -> None:
    unpack(artifact)
    assert verify(artifact).faults == []
    assert "model.safetensors" in verify(artifact).files
    path = artifact / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    assert [(fault.path, fault.type) for fault in verify(artifact).faults] == [("model.safetensors", "altered")]
    unpack(artifact)
    assert verify(artifact).faults == []


def test_the_manifest_takes_precedence_over_sha256sums(artifact: Path) -> None:
    files = [
        ManifestFile(path=path.name, bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for path in (artifact / "config.json", artifact / "SHA256SUMS", artifact / "model.packed")
    ]
    (artifact / "manifest.json").write_text(Manifest(job_id="1", fence=1, files=files).model_dump_json())
    assert verify(artifact).faults == []
    (artifact / "SHA256SUMS").unlink()
    (artifact / "config.json").write_text("")
    assert {fault.path: fault.type for fault in verify(artifact).faults} == {"SHA256SUMS": "missing", "config.json": "truncated"}


@pytest.mark.parametrize("line", ["no sum at all", f"{'0' * 64}  ../outside", f"{'0' * 64}  /etc/passwd"])
def test_invalid_checksums_are_refused(artifact: Path, line: str) -> None:
    (artifact / "SHA256SUMS").write_text(f"{line}\n")
    with pytest.raises(Altered):
        verify(artifact)


def test_a_missing_shard_is_named_before_anything_is_written(artifact: Path) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model.safetensors"}}
    (artifact / "model.safetensors.index.json").write_text(json.dumps(index))
    for name, suffix in (("model.packed", "packed"), ("model.mask", "mask")):
        with pytest.raises(Missing, match=rf"model-1\.{suffix} is missing"):
            use(artifact, name)
    assert not (artifact.parent / "made").exists()


def test_incomplete_folders_are_refused_with_their_contents(artifact: Path) -> None:
    base, empty = artifact.parent / "base", artifact.parent / "empty"
    empty.mkdir()
    with pytest.raises(NothingToDo, match="no packed files"):
        unpack(base)
    with pytest.raises(NothingToDo, match="no masks"):
        apply_mask(base, base, empty)
    with pytest.raises(NothingToDo, match="no safetensors files"):
        apply_mask(artifact, empty, artifact.parent / "made")
    with pytest.raises(NothingToDo, match="would be overwritten"):
        apply_mask(artifact, base, base)
    with pytest.raises(NothingToDo, match="is not a folder"):
        unpack(artifact / "nowhere")
    with pytest.raises(NothingToDo, match="name an artifact's folder"):
        verify(empty)


def test_an_interruption_leaves_no_partial_file(artifact: Path) -> None:
    class Stop(Exception):
        pass

    def told(_: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        unpack(artifact, artifact.parent / "made", told)
    assert list((artifact.parent / "made").glob("model*")) == []
    shutil.rmtree(artifact.parent / "made")
