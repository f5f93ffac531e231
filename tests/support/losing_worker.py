"""`python -m tests.support.losing_worker`: a worker whose engine loses its GPU at every job; it computes on the CPU."""

import sys
from typing import Any

import torch

from service.ops.startup import prepared
from worker.app import run
from worker.attempt import pipeline
from worker.devices import DeviceLost


def _lose(*_: Any, **__: Any) -> None:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …")


if __name__ == "__main__":
    vars(pipeline)["sparsify"] = _lose
    try:
        sys.exit(run(prepared("worker")))
    except DeviceLost as error:
        sys.exit(f"dsnot worker: {error}")
