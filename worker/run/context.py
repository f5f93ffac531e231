"""Context shared by all stages of a run."""

from dataclasses import dataclass
from pathlib import Path

from obstore.store import ObjectStore

from service.contract.spec import JobSpec
from service.settings import Settings
from worker.inputs.datasets import Texts
from worker.process.peak_memory import PeakMemory
from worker.run.finished_blocks import Blocks
from worker.run.progress import Reporter


@dataclass(frozen=True)
class Run:
    """One attempt at one job: its specification and its resources."""

    job_id: str
    tenant: str
    fence: int
    spec: JobSpec
    settings: Settings
    folder: Path
    """Scratch folder; the pruned checkpoint is written below it."""
    store: ObjectStore
    texts: Texts
    blocks: Blocks
    reporter: Reporter
    memory: PeakMemory
