"""Admission of jobs: checks before a job is accepted, and pinning of its model revision.

It may call the hub and therefore runs outside of any transaction. The worker repeats all checks on its own files.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from service.contract.checkpoints import UNSUPPORTED
from service.contract.spec import JobSpec
from service.errors import InvalidInput
from service.models.config import max_sequence_length, texts, widths
from service.models.headers import read_config
from service.models.hub.uploads import UploadRefused, upload_token
from service.models.refusals import HubUnavailable, ModelUnsupported
from service.models.sources import ModelSources
from service.settings import Settings


def admit(models: ModelSources, settings: Settings, spec: JobSpec, *, tenant: str) -> JobSpec:
    """Check a spec and return it with its model revision pinned, so that a later change of the model does not affect the job.

    Raises:
        ModelRefused: the model cannot be used.
        InvalidInput: the spec does not fit the model, or its result may not be uploaded.
        StoreUnavailable: an earlier job's artifact cannot be looked up.
    """
    _check_upload(settings, spec, tenant)
    model, files = models.pin(spec.model, tenant=tenant)
    if files is not None:
        with suppress(HubUnavailable):  # unreachable since the pinning; the worker repeats the checks
            config = read_config(files)
            _check_architecture(config)
            check_fit(spec, config)
    return spec.model_copy(update={"model": model})


def _check_upload(settings: Settings, spec: JobSpec, tenant: str) -> None:
    """Check the upload by the settings alone: write access is tested hours later, when it may have been granted."""
    if spec.output.hub is None:
        return
    try:
        upload_token(settings, tenant, spec.output.hub)
    except UploadRefused as error:
        raise InvalidInput(str(error), errors=[{"pointer": f"/output/hub/{error.field}", "detail": str(error)}]) from None


def _check_architecture(config: dict[str, Any]) -> None:
    """Raise ModelUnsupported for an architecture that the engine will refuse."""
    for name in texts(config.get("architectures")):
        if name in UNSUPPORTED:
            raise ModelUnsupported(f"{name} {UNSUPPORTED[name]}")


def check_fit(spec: JobSpec, config: dict[str, Any]) -> None:
    """Check sequence lengths and group sizes against the model's config. Raises InvalidInput."""
    errors = [*_lengths(spec, config), *_groups(spec, config)]
    if errors:
        raise InvalidInput("; ".join(error["detail"] for error in errors), errors=errors)


def _lengths(spec: JobSpec, config: dict[str, Any]) -> Iterator[dict[str, str]]:
    longest = max_sequence_length(config)
    asked = {"calibration": spec.calibration.sequence_length}
    if spec.evaluation.perplexity:
        asked["evaluation"] = spec.evaluation.sequence_length
    for part, length in asked.items():
        if longest is not None and length > longest:
            detail = f"{part} has a sequence length of {length} tokens, but the model supports at most {longest}"
            yield {"pointer": f"/{part}/sequence_length", "detail": detail}


def _groups(spec: JobSpec, config: dict[str, Any]) -> Iterator[dict[str, str]]:
    group = spec.recipe.pattern.group
    if group is None:
        return
    for name, width in widths(config).items():
        if width % group:
            detail = f"groups of {group} do not divide the model's {name}, which is {width}"
            yield {"pointer": "/recipe/pattern/m", "detail": detail}
