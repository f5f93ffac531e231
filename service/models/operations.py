"""Refusing at once what is sure to fail later: what a look at the model's folder and config.json can tell.

The worker checks everything again, on its own files; models of a hub are found by it alone.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from service.contract import FailureCode, JobSpec
from service.contract.recipe import NofM
from service.errors import InvalidInput, Problem
from service.models.config import UnreadableConfig, max_sequence_length, read_config, wants_code, widths
from service.settings import Settings


class ModelRefused(Problem):
    """A model that cannot be used. Its type is the failure code that a worker would report."""

    status, title = 422, "The model cannot be used"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, errors=[{"pointer": "/model/id", "detail": detail}])


class ModelNotFound(ModelRefused):
    type = FailureCode.MODEL_NOT_FOUND


class ModelUnsafe(ModelRefused):
    type = FailureCode.MODEL_UNSAFE


class ModelNotAllowed(ModelRefused):
    type = "model-not-allowed"


def admit(settings: Settings, spec: JobSpec) -> None:
    """Raises ModelRefused, or InvalidInput where the spec does not fit the model."""
    if spec.model.source == "hub":
        _admit_hub(settings, spec.model.id)
    elif settings.model_root.is_dir():  # else only the workers have it
        config = _safe_config(_folder(settings, spec.model.id))
        errors = [*_lengths(spec, config), *_groups(spec, config)]
        if errors:
            raise InvalidInput("; ".join(error["detail"] for error in errors), errors=errors)


def _admit_hub(settings: Settings, model_id: str) -> None:
    if settings.hub_allow and not any(fnmatchcase(model_id, pattern) for pattern in settings.hub_allow):
        raise ModelNotAllowed(f"hub models are limited to {', '.join(settings.hub_allow)}")


def _folder(settings: Settings, model_id: str) -> Path:
    try:
        return settings.local_model(model_id)
    except (ValueError, OSError, RuntimeError):  # a link that leads out is no model, and nobody is told where it leads
        raise ModelNotFound(f"there is no local model {model_id}") from None


def _safe_config(folder: Path) -> dict[str, Any]:
    """The config of a checkpoint that can be read without running anything of its own."""
    try:
        config = read_config(folder)
    except UnreadableConfig as error:
        raise ModelUnsafe(str(error)) from None
    except OSError:
        raise ModelUnsafe("config.json cannot be read") from None
    if wants_code(config):
        raise ModelUnsafe("config.json has an auto_map: the model brings its own code, which is never run here")
    if not any(folder.glob("*.safetensors")):
        raise ModelUnsafe("the model has no safetensors files, and other formats are not read")
    return config


def _lengths(spec: JobSpec, config: dict[str, Any]) -> Iterator[dict[str, str]]:
    longest = max_sequence_length(config)
    asked = {"calibration": spec.calibration.sequence_length}
    if spec.evaluation.perplexity:
        asked["evaluation"] = spec.evaluation.sequence_length
    for part, length in asked.items():
        if longest is not None and length > longest:
            detail = f"{part} asks for {length} tokens at a time, but the model takes at most {longest}"
            yield {"pointer": f"/{part}/sequence_length", "detail": detail}


def _groups(spec: JobSpec, config: dict[str, Any]) -> Iterator[dict[str, str]]:
    pattern = spec.recipe.pattern
    if not isinstance(pattern, NofM):
        return
    for name, width in widths(config).items():
        if width % pattern.m:
            detail = f"groups of {pattern.m} do not fit: the model's {name} is {width}"
            yield {"pointer": "/recipe/pattern/m", "detail": detail}
