"""Admission of jobs: checks before a job is accepted, and pinning of its model revision.

It may call the hub and therefore runs outside of any transaction. A worker's earlier check of the revision
counts, and none is waited for. The worker repeats all checks on its own files.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from service.contract.checkpoints import UNSUPPORTED
from service.contract.model_checks import ModelCheck, ModelFacts
from service.contract.model_spec import ModelSpec
from service.contract.spec import JobSpec, without_head
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
    return Admission(models, settings, tenant=tenant).admit(spec)


@dataclass(frozen=True)
class _Pinned:
    """A model as far as it could be read: names and shapes, or the config of a hub model, because each shard takes a request.

    Names and shapes of a hub model are known if this process has read them for the tenant's plan.
    """

    model: ModelSpec
    outline: ModelOutline | None
    max_length: int | None
    check: ModelCheck | None


class Admission:
    """Admission of jobs of one tenant. Every model is looked up once, so that the jobs of a sweep are admitted together."""

    def __init__(self, models: ModelSources, settings: Settings, *, tenant: str) -> None:
        self._models, self._settings, self._tenant = models, settings, tenant
        self._pinned: dict[ModelSpec, _Pinned] = {}

    def admit(self, spec: JobSpec) -> JobSpec:
        """Return the spec with its model's revision pinned. Raise what `admit` raises."""
        _check_upload(self._settings, spec, self._tenant)
        _refuse(_mlflow(self._settings, spec))
        if spec.model not in self._pinned:
            self._pinned[spec.model] = self._pin(spec.model)
        known = self._pinned[spec.model]
        if known.outline is not None:
            check_fit(spec, known.outline)
        else:
            _refuse(_lengths(spec, known.max_length))
        if known.check is not None and known.check.facts is not None:
            check_fit(spec, known.check.facts)
        return spec.model_copy(update={"model": known.model})

    def outline_of(self, model: ModelSpec) -> ModelOutline | None:
        """Return names and shapes of an admitted model's weights, by the model as it was sent; None if they were not read."""
        return self._pinned[model].outline

    def _pin(self, wanted: ModelSpec) -> _Pinned:
        """Look the model up, and refuse what cannot be used. Raises ModelRefused."""
        model, files = self._models.pin(wanted, tenant=self._tenant)
        read = RecordedFiles(files) if files is not None else None
        outline, max_length = self._models.outlines.of(model, tenant=self._tenant), None
        if read is not None:
            with suppress(HubUnavailable):  # unreachable since the pinning; the worker repeats the checks
                if model.source == "hub":
                    max_length = _hub_length(read)
                else:
                    outline = usable_outline(read_headers(read, model.revision))
        check = self._models.checks.known(model, read, tenant=self._tenant)
        if check is not None and check.failure is not None:  # a worker would refuse it, too
            raise BY_CODE.get(check.failure.code, ModelUnsupported)(check.failure.detail)
        return _Pinned(model, outline, max_length, check)


def _check_upload(settings: Settings, spec: JobSpec, tenant: str) -> None:
    """Check the upload by the settings alone: write access is tested hours later, when it may have been granted."""
    if spec.output.hub is None:
        return
    try:
        upload_token(settings, tenant, spec.output.hub)
    except UploadRefused as error:
        raise InvalidInput(str(error), errors=[{"pointer": f"/output/hub/{error.field}", "detail": str(error)}]) from None


def _mlflow(settings: Settings, spec: JobSpec) -> Iterator[dict[str, str]]:
    wanted, allowed = spec.output.mlflow, settings.mlflow_register_to
    if wanted is None:
        return
    if settings.mlflow_tracking_uri is None:
        remedy = "omit output.mlflow, or have the operator set DSNOT_MLFLOW_TRACKING_URI"
        yield {"pointer": "/output/mlflow", "detail": f"this service has no MLflow server; {remedy}"}
    elif wanted.registered_model is not None and not any(fnmatchcase(wanted.registered_model, each) for each in allowed):
        where = f"to {', '.join(allowed)} only; choose a matching model" if allowed else "to no registered model; leave it out"
        detail = f"this service may add versions {where}"
        yield {"pointer": "/output/mlflow/registered_model", "detail": detail}


def _hub_length(files: Files) -> int | None:
    """Return the maximum sequence length in the config. Raises ModelUnsupported."""
    config = read_config(files)
    for name in texts(config.get("architectures")):
        if name in UNSUPPORTED:
            raise ModelUnsupported(f"{name} {UNSUPPORTED[name]}")
    return max_sequence_length(config)


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
