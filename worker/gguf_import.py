"""Import of a model below the model root: `python -m worker.gguf_import SOURCE DESTINATION`.

SOURCE is a GGUF file of an architecture that transformers can load, whose weights are dequantised to the type in which this
processor computes fastest (`--dtype` names another), or a folder with a safetensors checkpoint, which is checked and copied
(`--dequantize`: weights in fp8 or MXFP4 converted to bfloat16). The import is atomic, and importing the same source twice
changes nothing.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

import torch

from service.contract.checkpoint_files import files_to_fetch
from service.kit.files import fsync, sha256_of
from worker.failures import JobFailure
from worker.inputs.dequantization import dequantise
from worker.inputs.gguf import ImportRefused, convert, fastest_dtype
from worker.inputs.gguf_parts import parts_of
from worker.inputs.models import check_checkpoint

_MARKER: Final = ".dsnot-import.json"
DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Say = Callable[[str], None]


def import_model(source: Path, destination: Path, say: Say, *, dtype: str | None = None, dequantize: bool = False) -> bool:
    """Import `source` as the checkpoint `destination`; return False if it was already imported.

    `dtype`: type of the weights of a GGUF file; None: that in which this processor is fastest.

    Raises:
        ImportRefused: the source does not exist, or the destination holds something else.
        JobFailure: the source is not a model that is safe to read.
    """
    destination = destination.absolute()
    say(f"reading {source.name}")
    fingerprint = _fingerprint(source) + ("-dequantized" if dequantize else "")
    if destination.exists():
        if _imported_from(destination) != fingerprint:
            raise ImportRefused(f"{destination} exists and was not imported from this source; remove it or choose another folder")
        if dtype is not None and (earlier := _dtype_of(destination)) != dtype:
            raise ImportRefused(f"{destination} exists with weights in {earlier}; remove it or choose another folder")
        check_checkpoint(destination, inside=destination)
        say(f"{destination} is already there, from the same source; nothing to do")
        return False
    destination.parent.mkdir(parents=True, exist_ok=True)
    staging = destination.with_name(f".{destination.name}.{os.getpid()}.importing")
    staging.mkdir()
    try:
        _fill(staging, source, say, dtype, dequantize)
        (staging / _MARKER).write_text(
            json.dumps({"schema_version": 1, "source": source.name, "sha256": fingerprint}) + "\n", encoding="utf-8"
        )
        _finalize(staging)
        staging.rename(destination)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    say(f"{destination} is ready")
    return True


def _fill(folder: Path, source: Path, say: Say, dtype: str | None, dequantize: bool) -> None:
    if source.is_dir() and dtype is not None:
        raise ImportRefused("--dtype is for GGUF files; the weights of a folder are copied as they are")
    if source.is_dir():
        check_checkpoint(source, inside=_home(source))
    if source.is_dir() and dequantize:
        dequantise(source, _checkpoint_files(source), folder, say)
    elif source.is_dir():
        for path in _checkpoint_files(source):
            target = folder / path.relative_to(source)
            say(f"copying {path.relative_to(source)}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    else:
        convert(source, folder, say, DTYPES[dtype] if dtype else fastest_dtype())
    check_checkpoint(folder, inside=folder)


def _home(folder: Path) -> Path:
    """Return the folder that links of a source may lead to: a snapshot in the Hub's cache links to blobs outside the snapshot."""
    folder = folder.resolve()
    return folder.parent.parent if folder.parent.name == "snapshots" else folder


def _checkpoint_files(folder: Path) -> list[Path]:
    names = files_to_fetch(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [folder / name for name in names]


def _fingerprint(source: Path) -> str:
    """Return the SHA-256 of the file, or of the names and SHA-256 of its parts or of the folder's files to copy."""
    if source.is_file():
        paths = [part for part in parts_of(source) if part.is_file()]
        if len(paths) == 1:
            return sha256_of(source)
    elif source.is_dir():
        paths = _checkpoint_files(source)
    else:
        raise ImportRefused(f"{source} does not exist")
    digest, folder = hashlib.sha256(), source if source.is_dir() else source.parent
    for path in paths:
        digest.update(repr((path.relative_to(folder).as_posix(), sha256_of(path))).encode())
    return digest.hexdigest()


def _imported_from(destination: Path) -> str | None:
    try:
        marker = json.loads((destination / _MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return marker.get("sha256") if isinstance(marker, dict) else None


def _dtype_of(checkpoint: Path) -> str | None:
    config: dict[str, str | None] = json.loads((checkpoint / "config.json").read_bytes())
    return config.get("dtype") or config.get("torch_dtype")


def _finalize(folder: Path) -> None:
    """Make the files readable for all users, because safetensors writes them for their owner only, and flush them to disk."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        fsync(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: progress on standard output; on error, one sentence on standard error and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m worker.gguf_import", description="Import a model under the model root.")
    parser.add_argument("source", type=Path, help="a GGUF file or a folder with a safetensors checkpoint")
    parser.add_argument("destination", type=Path, help="the folder to create, below the model root")
    parser.add_argument(
        "--dtype", choices=DTYPES, help="type of a GGUF file's weights; by default that in which this processor is fastest"
    )
    parser.add_argument("--dequantize", action="store_true", help="convert weights in fp8 or MXFP4 to bfloat16")
    given = parser.parse_args(arguments)
    options = {"dtype": given.dtype, "dequantize": given.dequantize}
    try:
        import_model(given.source, given.destination, lambda line: _write(sys.stdout, line), **options)
    except JobFailure as error:
        _write(sys.stderr, f"error: {error}")
    except Exception as error:  # the user gets a sentence, not a traceback
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        _write(sys.stderr, f"error: {given.source} could not be imported: {reason}")
    else:
        return 0
    return 2


def _write(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
