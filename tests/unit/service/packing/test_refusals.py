"""Files that are cut, altered, foreign or newer, and folders that are not complete: each its own error, which says what to do."""

import hashlib
import json
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

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
from service.packing.header import Planes, Sparse
from tests.support.packed_v1 import pack_v1
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
    return content[:8] + (3).to_bytes(4, "little") + b"of which nothing is known here"


def relocated(section: list[int]) -> Callable[[bytes], bytes]:
    """A file whose first tensor has another section."""
    return rewritten(
        lambda header: header["tensors"][0].update(dict.fromkeys({"data", "bits"} & set(header["tensors"][0]), section))
    )


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
    "a section elsewhere": (Altered, relocated([10**9, 10**9 + 128])),
    "a section that is too short": (Altered, relocated([64, 65])),
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
@pytest.mark.parametrize("name", ["model.packed", "old.packed"])
def test_bits_and_values_must_match(artifact: Path, name: str, count: str) -> None:
    path = artifact / "model.packed"
    if name == "old.packed":
        dense = {name: pruned(tensor, share=0.6) for name, tensor in BASE.items()}
        pack_v1(artifact.parent / "dense" / "model.safetensors", dense, path)
    with opened(path) as container:
        (entry, _) = container.header.tensors
        assert isinstance(entry, Planes | Sparse)
        bits = entry.data[0] + 12 if isinstance(entry, Planes) else entry.bits[0]
    content = bytearray(path.read_bytes())
    content[bits] = 0xFF if count == "more" else 0x00
    path.write_bytes(content)
    with pytest.raises(Altered, match=r"model\.packed is damaged or was changed"):
        unpack(artifact)


SIDE = 256
"""Rows and columns of a matrix in one chunk."""


def packed_chunk(folder: Path) -> tuple[Path, list[bytes]]:
    """A packed file with one chunk of bfloat16 values, and the parts of the chunk: mask, exponents, mantissas."""
    source = write(folder / "model.safetensors", {"t": random_bits("BF16", (SIDE, SIDE), zeros=0.5)})
    (folder / "artifact").mkdir()
    pack(source, path := folder / "artifact" / "model.packed")
    with opened(path) as container:
        (entry,) = container.header.tensors
        assert isinstance(entry, Planes)
        content = container.read(entry.data)
    ends = [12 + sum(struct.unpack("<3I", content[:12])[: n + 1]) for n in range(3)]
    return path, [content[start:end] for start, end in zip([12, *ends], ends, strict=False)]


def replace_chunk(path: Path, content: bytes, **changes: object) -> None:
    """Store another chunk in a file that is valid otherwise."""
    before = path.read_bytes()
    start = PRELUDE.unpack(before[:64])[3]
    facts = {"data": [start, start + len(content)], "data_sha256": hashlib.sha256(content).hexdigest()} | changes
    header = json.loads(before[start:])
    header["tensors"][0] |= facts
    text = json.dumps(header).encode()
    prelude = PRELUDE.pack(b"DSNOTPAK", 2, 0, start + len(content), len(text), hashlib.sha256(text).digest())
    path.write_bytes(prelude + before[64:start] + content + text)


def joined(parts: list[bytes]) -> bytes:
    return struct.pack("<3I", *map(len, parts)) + b"".join(parts)


BOMB = zstandard.compress(bytes(1 << 26))
"""Frame of 64 MiB."""
CHUNKS: dict[str, Callable[[list[bytes]], bytes]] = {
    "nothing": lambda _: b"",
    "half a head": lambda parts: joined(parts)[:6],
    "a head alone": lambda parts: joined(parts)[:12],
    "a byte less": lambda parts: joined(parts)[:-1],
    "a byte more": lambda parts: joined(parts) + b"x",
    "a second chunk": lambda parts: joined(parts) * 2,
    "a part that is too large": lambda parts: joined([parts[0], bytes(SIDE * SIDE + 1), parts[2]]),
    "a plane that is too long": lambda parts: joined([parts[0], parts[1] + b"x", parts[2]]),
    "a plane that is too short": lambda parts: joined([parts[0], parts[1][:-1], parts[2]]),
    "no mask": lambda parts: joined([b"", *parts[1:]]),
    "a frame that is too large": lambda parts: joined([parts[0], BOMB, parts[2]]),
    "a mask that is too large": lambda parts: joined([BOMB, *parts[1:]]),
    "a frame of another size than it says": lambda parts: joined([parts[0], lying(BOMB, len(parts[1])), parts[2]]),
    "a frame without its size": lambda parts: joined([parts[0], sizeless(parts[1]), parts[2]]),
    "two frames": lambda parts: joined([parts[0], zstandard.compress(bytes(len(parts[1]))) * 2, parts[2]]),
    "a cut frame": lambda parts: joined([parts[0], zstandard.compress(bytes(len(parts[1])))[:-1], parts[2]]),
}


def lying(frame: bytes, size: int) -> bytes:
    """The frame with another content size in its header."""
    assert int.from_bytes(frame[6:10], "little") == 1 << 26
    return frame[:6] + size.to_bytes(4, "little") + frame[10:]


def sizeless(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(bytes(len(content)))


@pytest.mark.parametrize("name", CHUNKS)
def test_an_invalid_chunk_is_refused_within_its_size_in_memory(tmp_path: Path, name: str) -> None:
    path, parts = packed_chunk(tmp_path)
    replace_chunk(path, CHUNKS[name](parts))
    tracemalloc.start()
    with pytest.raises(Altered, match=r"^model\.packed is damaged or was changed: the chunks of t are invalid; download"):
        unpack(path.parent)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert list(path.parent.iterdir()) == [path]
    assert [fault.type for fault in verify(path.parent).faults] == ["altered"]


def test_a_replaced_chunk_of_the_same_parts_is_accepted(tmp_path: Path) -> None:
    path, parts = packed_chunk(tmp_path)
    replace_chunk(path, joined(parts))
    unpack(path.parent)
    assert (path.parent / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize("changes", [{"values": 1}, {"values": SIDE * SIDE}, {"values": SIDE * SIDE + 1}, {"dtype": "F32"}])
def test_a_wrong_description_of_a_chunk_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    path, parts = packed_chunk(tmp_path)
    replace_chunk(path, joined(parts), **changes)
    with pytest.raises(Altered):
        unpack(path.parent)
    assert list(path.parent.iterdir()) == [path]


def test_the_sha256_of_stored_chunks_is_checked_and_that_of_the_tensor_by_verification(tmp_path: Path) -> None:
    path, parts = packed_chunk(tmp_path)
    replace_chunk(path, joined(parts), data_sha256="0" * 64)
    with pytest.raises(Altered, match="the SHA-256 of t does not match"):
        unpack(path.parent)
    assert list(path.parent.iterdir()) == [path]
    replace_chunk(path, joined(parts), sha256="0" * 64)
    (fault,) = verify(path.parent).faults
    assert "the SHA-256 of t does not match" in str(fault)


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
