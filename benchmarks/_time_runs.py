"""Runs of `benchmarks.plans --times`: real jobs through an embedded stack, and the facts from which their times are predicted.

Checkpoints have Llama's shape and random weights, besides the real SmolLM2-135M-Instruct of the demo; each is written when its
first job needs it. Every job evaluates windows of its own length, so that no dense result is reused.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks._synthetic import Shape, write
from service.cli.models import import_model
from service.client import Client
from service.contract.states import EventType, JobState
from service.database.engine import Database
from service.database.tables.jobs import Job
from service.demo import shipped_model
from service.embedded.record import StackRecord
from service.embedded.stack import Stack, running
from worker.inputs.datasets import read_text

VOCABULARY: Final = 2000
_UNKNOWN: Final = "<unk>"
REAL: Final = "SmolLM2-135M"
SHAPES: Final = {  # name: shape, blocks
    "0.5M": (Shape(96, 256, 4, 2, VOCABULARY), 3),
    "2M": (Shape(160, 432, 4, 2, VOCABULARY), 6),
    "6M": (Shape(256, 688, 8, 4, VOCABULARY), 8),
    "14M": (Shape(384, 1024, 6, 3, VOCABULARY), 8),
    "18M": (Shape(512, 1376, 8, 4, VOCABULARY), 6),
    "39M": (Shape(768, 2048, 12, 4, VOCABULARY), 6),
}


@dataclass(frozen=True)
class Case:
    """One job: its model, preset, calibration samples, their length, and evaluated windows of that length."""

    model: str
    preset: str
    samples: int
    length: int
    windows: int

    def body(self) -> dict[str, Any]:
        """Return the job's body."""
        return {
            "model": {"source": "local", "id": self.model},
            "recipe": {"preset": self.preset},
            "calibration": {"dataset": "c4-sample", "num_samples": self.samples, "sequence_length": self.length},
            "evaluation": {
                "perplexity": ["wiki-sample"],
                "sequence_length": self.length,
                "max_windows": self.windows,
                "agreement_windows": min(4, self.windows),
            },
        }


CASES: Final = [
    Case("2M", "fast", 8, 128, 4),
    Case("0.5M", "fast", 4, 64, 4),
    Case("0.5M", "balanced", 8, 128, 4),
    Case("6M", "balanced", 8, 128, 4),
    Case("6M", "fast", 16, 128, 8),
    Case("2M", "balanced", 16, 128, 8),
    Case("14M", "fast", 8, 256, 4),
    Case("14M", "balanced", 8, 128, 8),
    Case("0.5M", "dsnot-paper", 16, 128, 8),
    Case("18M", "fast", 8, 128, 4),
    Case("6M", "dsnot-paper", 16, 256, 4),
    Case("2M", "fast", 32, 256, 16),
    Case("18M", "balanced", 4, 128, 2),
    Case("14M", "dsnot-paper", 8, 128, 16),
    Case("39M", "fast", 4, 128, 4),
    Case("6M", "balanced", 32, 256, 8),
    Case("18M", "fast", 16, 256, 8),
    Case("39M", "balanced", 4, 128, 2),
    Case(REAL, "fast", 4, 128, 2),
    Case("2M", "dsnot-paper", 32, 128, 16),
    Case("18M", "dsnot-paper", 8, 128, 8),
    Case("0.5M", "balanced", 32, 256, 16),
    Case(REAL, "dsnot-paper", 2, 128, 3),
    Case("14M", "balanced", 16, 256, 6),
    Case("39M", "fast", 8, 256, 4),
    Case("2M", "balanced", 8, 256, 4),
    Case("39M", "dsnot-paper", 4, 128, 3),
    Case("6M", "fast", 8, 128, 32),
    Case("14M", "balanced", 4, 256, 8),
    Case("14M", "fast", 32, 256, 16),
    Case("0.5M", "fast", 16, 256, 32),
    Case("6M", "balanced", 16, 128, 2),
    Case(REAL, "fast", 8, 256, 4),
]


def run_cases(cases: Iterable[Case], device: str = "cpu") -> Iterator[dict[str, Any]]:
    """Run the cases one after another on one worker; yield the facts of each."""
    with TemporaryDirectory(prefix="dsnot-plans-") as folder, running(Path(folder), device=device, workers=1) as stack:
        record = StackRecord.read(stack.home)
        assert record is not None
        database = Database(record.database_url, pool_size=1)
        with Client(stack.url, stack.api_key_file.read_text().strip()) as client:
            try:
                for case in cases:
                    yield _run(case, stack, client, database)
            finally:
                database.close()


def _run(case: Case, stack: Stack, client: Client, database: Database) -> dict[str, Any]:
    _ensure_model(case.model, stack.model_root)
    job = client.jobs.create(case.body()).wait()
    assert job.state == JobState.SUCCEEDED, job.error
    (attempt,) = client.jobs.attempts(job.id)
    with database.begin() as session:
        work = session.get_one(Job, UUID(job.id)).work
    kept = (EventType.STAGE_STARTED, EventType.BLOCK_PRUNED)
    steps = [
        (event.type, event.data.get("stage") or event.data.get("block"), _seconds(attempt.started_at, event.created_at))
        for event in client.jobs.events(job.id)
        if event.type in kept
    ]
    assert job.metric_values is not None
    return {
        "case": list(astuple(case)),
        "spec": job.spec,
        "work": work,
        "seconds": job.metric_values["seconds"],
        "engine_seconds": job.metric_values["engine_seconds"],
        "measured": _seconds(attempt.started_at, attempt.ended_at),
        "steps": steps,
        "peak": job.metric_values["peak_memory_bytes"],
    }


def _seconds(start: datetime, end: datetime | None) -> float:
    assert end is not None
    return (end - start).total_seconds()


def _ensure_model(name: str, root: Path) -> None:
    if (root / name).exists():
        return
    if name == REAL:
        import_model(shipped_model(), root / name)
        return
    shape, blocks = SHAPES[name]
    write(root / name, shape, blocks)
    _tokenizer().save_pretrained(root / name)


def _tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of the commonest words of the calibration text."""
    tokenizer = Tokenizer(models.WordLevel(unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(vocab_size=VOCABULARY, special_tokens=[_UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(read_text("c4-sample:test", Path.cwd()), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=_UNKNOWN)
