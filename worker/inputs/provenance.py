"""Provenance of an artifact, recorded while it is made: model, texts, tasks, libraries and device."""

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from service.contract.devices import DeviceClass
from service.contract.provenance import BosProtocol, EngineFacts, Provenance, SourceFacts, TaskFacts, TextFacts
from service.contract.spec import JobSpec
from worker.devices import device_class, processor_name
from worker.inputs.models import Model
from worker.inputs.tokenization import DOCUMENT_SEPARATOR

_LIBRARIES: Final = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "datasets", "huggingface-hub", "lm_eval")
"""Libraries that affect the figures."""


def provenance_of(
    spec: JobSpec,
    model: Model,
    texts: Sequence[TextFacts],
    tasks: Sequence[TaskFacts],
    *,
    bos: BosProtocol = "stream",
    device: str,
) -> Provenance:
    """Return the provenance of an artifact. `bos`: of the calibration; `device`: as in DSNOT_DEVICE. Imports torch."""
    return Provenance(
        model=SourceFacts(
            source=spec.model.source,
            id=spec.model.id,
            revision=model.revision,
            license=model.license,
            base_model=model.base_model,
        ),
        engine=EngineFacts(
            version=version("dsnot"),
            python=platform.python_version(),
            device=_device_name(device),
            libraries={name: found for name in _LIBRARIES if (found := _version(name))},
        ),
        bos=bos,
        seed=spec.calibration.seed,
        texts=sorted(texts, key=lambda text: text.dataset),
        tasks=list(tasks),
    )


def text_facts(dataset: str, documents: Sequence[str]) -> TextFacts:
    """Return the facts that identify a text."""
    content = DOCUMENT_SEPARATOR.join(documents).encode("utf-8", "surrogatepass")
    return TextFacts(dataset=dataset, documents=len(documents), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device_name(device: str) -> str:
    if device_class(device) is DeviceClass.CPU:
        return processor_name()
    import torch

    return torch.cuda.get_device_name(None if device == "auto" else torch.device(device))
