"""`python -m tests.support.spawning_worker`: a worker that takes its CPU for a GPU, so that its children are spawned."""

import sys

from service.contract.devices import DeviceClass
from service.ops.startup import prepared
from worker import devices
from worker.app import run
from worker.gpu_probe import Device


def take_cpu_for_gpu() -> None:
    _, cpu = devices.chosen("cpu")

    def chosen(device: str) -> tuple[DeviceClass, Device]:
        return DeviceClass.GPU, cpu

    devices.chosen = chosen


if __name__ == "__main__":
    take_cpu_for_gpu()
    sys.exit(run(prepared("worker")))
