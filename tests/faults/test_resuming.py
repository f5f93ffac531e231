"""A run of the engine that is killed again and again, at random moments, and goes on each time."""

import multiprocessing
import random
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from tests.support.size import sized
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS
from worker.engine import Journal, MatrixReport, Recipe, sparsify
from worker.engine.report import NullObserver

KILLS = sized(6, 20)
LAYERS = 3 * KILLS  # more than can be finished between so many kills
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["worker.engine", "transformers.models.llama.modeling_llama"])


class Telling(NullObserver):
    """Tells the parent of every block, and whether it was done by an earlier run."""

    def __init__(self, pipe: "Connection[tuple[int, bool], None]") -> None:
        self._pipe = pipe

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport], *, resumed: bool = False) -> None:
        assert index < total
        assert matrices
        self._pipe.send((index, resumed))


def prune(folder: Path, target: Path, pipe: "Connection[tuple[int, bool], None]") -> None:
    """What the killed process does."""
    torch.set_num_threads(1)
    tokens = torch.randint(256, (8, 64), generator=torch.Generator().manual_seed(0))
    recipe, journal = Recipe.from_dict({"preset": "balanced"}), Journal(folder / "journal")
    sparsify(folder / "source", target, recipe, tokens, device="cpu", observer=Telling(pipe), journal=journal)


def start(folder: Path, target: Path) -> tuple["multiprocessing.context.ForkServerProcess", "Connection[None, tuple[int, bool]]"]:
    here, there = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=prune, args=(folder, target, there))
    process.start()
    there.close()
    return process, here


def test_a_run_killed_many_times_gives_the_same_bits_as_one_run(tmp_path: Path) -> None:
    save_model(tmp_path / "source", layers=LAYERS, width=64)
    source, resumed = random.Random(0), [0]
    for number in range(KILLS):
        process, pipe = start(tmp_path, tmp_path / f"attempt-{number}")
        anew = source.choice([0, 1, 1, 2])
        resumed.append(0)
        while anew and pipe.poll(60):
            _, was_known = pipe.recv()
            resumed[-1] += was_known
            anew -= not was_known
        time.sleep(source.uniform(0, 0.3) if resumed[-1] or number == 0 else source.uniform(0, 1.0))
        assert process.is_alive()
        process.kill()
        process.join()
    process, pipe = start(tmp_path, tmp_path / "last")
    process.join(CEILING_SECONDS)
    assert process.exitcode == 0
    told = [pipe.recv() for _ in range(LAYERS)]
    assert [index for index, _ in told] == list(range(LAYERS))
    assert KILLS / 2 < sum(was_known for _, was_known in told) < LAYERS
    (tmp_path / "journal").rename(tmp_path / "used")
    process, pipe = start(tmp_path, tmp_path / "whole")
    process.join(CEILING_SECONDS)
    assert not any(was_known for _, was_known in (pipe.recv() for _ in range(LAYERS)))
    whole, last = (tmp_path / name / "model.safetensors" for name in ("whole", "last"))
    assert last.read_bytes() == whole.read_bytes()
