"""Admission of jobs: checks before a job is accepted, and pinning of its model revision.

It may call the hub and therefore runs outside of any transaction. A worker's earlier check of the revision
counts, and none is waited for. The worker repeats all checks on its own files.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from service.contract.checkpoints import UNSUPPORTED
from service.contract.model_checks import ModelCheck, ModelFacts
from service.contract.spec import JobSpec, ModelSpec, without_head
from service.errors import InvalidInput
from service.models.checks.operations import RecordedFiles
from service.models.config import max_sequence_length, texts
from service.models.headers import Files, read_config, read_headers
from service.models.hub.uploads import UploadRefused, upload_token
from service.models.outline import ModelOutline
from service.models.refusals import BY_CODE, HubUnavailable, ModelUnsupported
from service.models.sources import ModelSources
from service.models.unsupported import usable_outline
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
    read = RecordedFiles(files) if files is not None else None
    if read is not None:
        with suppress(HubUnavailable):  # unreachable since the pinning; the worker repeats the checks
            _check_model(spec, model, read)
    if check := models.checks.known(model, read, tenant=tenant):
        _heed(check, spec)
    return spec.model_copy(update={"model": model})


def _check_upload(settings: Settings, spec: JobSpec, tenant: str) -> None:
    """Check the upload by the settings alone: write access is tested hours later, when it may have been granted."""
    if spec.output.hub is None:
        return
    try:
        upload_token(settings, tenant, spec.output.hub)
    except UploadRefused as error:
        raise InvalidInput(str(error), errors=[{"pointer": f"/output/hub/{error.field}", "detail": str(error)}]) from None


def _check_model(spec: JobSpec, model: ModelSpec, files: Files) -> None:
    """Check a model by its names, shapes and config; a hub model by its config only, because each shard takes a request.

    Raises:
        ModelRefused, InvalidInput
    """
    if model.source != "hub":
        check_fit(spec, usable_outline(read_headers(files, model.revision)))
        return
    config = read_config(files)
    for name in texts(config.get("architectures")):
        if name in UNSUPPORTED:
            raise ModelUnsupported(f"{name} {UNSUPPORTED[name]}")
    _refuse(_lengths(spec, max_sequence_length(config)))


def _heed(check: ModelCheck, spec: JobSpec) -> None:
    """Refuse what a worker would refuse after its check of the model. Raises ModelRefused, InvalidInput."""
    if check.failure is not None:
        raise BY_CODE.get(check.failure.code, ModelUnsupported)(check.failure.detail)
    if check.facts is not None:
        check_fit(spec, check.facts)


def check_fit(spec: JobSpec, model: ModelOutline | ModelFacts) -> None:
    """Check sequence lengths, group sizes and uses of the head against the model. Raises InvalidInput."""
    _refuse([*_lengths(spec, model.max_sequence_length), *_groups(spec, model), *_head(spec, model)])


def _refuse(errors: Iterable[dict[str, str]]) -> None:
    if errors := list(errors):
        raise InvalidInput("; ".join(error["detail"] for error in errors), errors=errors)


def _lengths(spec: JobSpec, longest: int | None) -> Iterator[dict[str, str]]:
    asked = {"calibration": spec.calibration.sequence_length}
    if spec.evaluation.perplexity:
        asked["evaluation"] = spec.evaluation.sequence_length
    for part, length in asked.items():
        if longest is not None and length > longest:
            detail = f"{part} has a sequence length of {length} tokens, but the model supports at most {longest}"
            yield {"pointer": f"/{part}/sequence_length", "detail": detail}


def _groups(spec: JobSpec, model: ModelOutline | ModelFacts) -> Iterator[dict[str, str]]:
    pattern = spec.recipe.pattern
    if not any(pattern.fits(kind.columns) for kind in model.matrix_kinds):
        widths = ", ".join(map(str, sorted({kind.columns for kind in model.matrix_kinds})[:10]))
        detail = f"groups of {pattern.group} divide the inputs of none of the model's matrices, which have {widths}"
        yield {"pointer": "/recipe/pattern/m", "detail": detail}


def _head(spec: JobSpec, model: ModelOutline | ModelFacts) -> Iterator[dict[str, str]]:
    if not model.has_head and (uses := spec.uses_of_head()):
        detail = without_head(uses)
        yield from ({"pointer": pointer, "detail": detail} for pointer in uses)
