"""Finished blocks of a job, which outlive its attempts: a journal on this host's disk, and a copy in the artifact store.

The copy lets a worker on another host resume the job. It is made in the background and cannot fail the job: a block that was
not copied is pruned again. Journal and copy are removed when the job has ended.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final
from uuid import UUID

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from service.contract.artifacts import blocks_prefix
from service.logging import get_logger
from service.storage.open_uploads import OpenUploads
from service.storage.removal import remove_below
from worker.engine import Journal
from worker.store_transfer import paths_below, stored_chunks

log = get_logger(__name__)

_NAME: Final = re.compile(r"\d{4,}-[0-9a-f]{64}\.safetensors")
_CHUNK: Final = 4 * 1024 * 1024  # bytes
_LOOK_SECONDS: Final = 0.25


class _Stopped(Exception):
    """End of the attempt, which aborts a copy in progress."""


class Blocks:
    """Finished blocks of one job during an attempt."""

    def __init__(self, cache_dir: Path, store: ObjectStore, job_id: UUID, also_from: UUID | None = None) -> None:
        """`also_from` is another job whose blocks can be reused: the one that this job retries."""
        self._folder = _root(cache_dir) / str(job_id)
        self._store = store
        self._job_id = str(job_id)
        self._prefix = blocks_prefix(job_id)
        self._sources = [self._prefix, *([blocks_prefix(also_from)] if also_from else [])]
        self._waiting: SimpleQueue[Path] = SimpleQueue()
        self._stop = threading.Event()
        self._copier = threading.Thread(target=copy_context().run, args=(self._copy_all,), name="block-copies", daemon=True)

    def __enter__(self) -> "Blocks":
        self._copier.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._copier.join()

    def journal(self, tick: Callable[[], None]) -> Journal:
        """Return the engine's journal, with all blocks that earlier attempts have left here or in the store."""
        self._fetch(tick)
        self._abort_open_uploads()
        return Journal(self._folder, self._waiting.put)

    def remove(self) -> None:
        """Remove the blocks here and in the store. Blocks that cannot be removed stay, unread."""
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            remove_below(self._store, self._prefix)
        except Exception as error:
            log.warning("blocks_not_removed", error=type(error).__name__)
        self._abort_open_uploads()

    def _abort_open_uploads(self) -> None:
        """Abort the multipart uploads of an attempt that was killed while it copied."""
        try:
            OpenUploads(self._store).abort_below(self._prefix)
        except OSError as error:
            log.warning("open_uploads_not_aborted", prefix=self._prefix, error=type(error.__cause__).__name__)

    def _fetch(self, tick: Callable[[], None]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for prefix in self._sources:
                self._fetch_from(prefix, tick)
        except (BaseError, FileNotFoundError) as error:
            log.warning("blocks_not_fetched", error=type(error).__name__)

    def _fetch_from(self, prefix: str, tick: Callable[[], None]) -> None:
        found = (path.rpartition("/")[2] for path in paths_below(self._store, prefix))
        names = sorted(name for name in found if _NAME.fullmatch(name))
        missing = [name for name in names if not (self._folder / name).exists()]
        for name in missing:
            self._fetch_one(f"{prefix}/{name}", self._folder / name, tick)
        log.info("blocks_found", here=len(names) - len(missing), fetched=len(missing))

    def _fetch_one(self, key: str, target: Path, tick: Callable[[], None]) -> None:
        """Fetch a file. The journal checks whether its content matches its name."""
        if isinstance(self._store, LocalStore) and _link(_local(self._store, key), target):
            return
        partial = target.with_suffix(f".{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                for chunk in stored_chunks(self._store, key):
                    tick()
                    file.write(chunk)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)

    def _copy_all(self) -> None:
        while not self._stop.is_set():
            try:
                path = self._waiting.get(timeout=_LOOK_SECONDS)
                self._copy(path)
            except Empty:
                continue
            except _Stopped:
                return
            except Exception as error:
                log.warning("block_not_copied", error=type(error).__name__)

    def _copy(self, path: Path) -> None:
        key = f"{self._prefix}/{path.name}"
        if not (isinstance(self._store, LocalStore) and _link(path, _local(self._store, key))):
            obstore.put(self._store, key, self._chunks(path), max_concurrency=2)

    def _chunks(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if self._stop.is_set():
                    raise _Stopped
                yield chunk


def job_ids(cache_dir: Path) -> list[UUID]:
    """Return the jobs that have blocks on this host."""
    return [UUID(folder.name) for folder in _root(cache_dir).glob("*") if folder.is_dir()]


def forget(cache_dir: Path, job_id: UUID) -> None:
    """Remove the blocks of a job from this host."""
    shutil.rmtree(_root(cache_dir) / str(job_id), ignore_errors=True)


def _root(cache_dir: Path) -> Path:
    return cache_dir / "blocks"


def _local(store: LocalStore, key: str) -> Path:
    return Path(str(store.prefix)) / key


def _link(source: Path, target: Path) -> bool:
    """Hard-link an immutable file instead of copying it; return False if the file system cannot."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True
