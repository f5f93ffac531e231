"""Sample events and templates for forms, by event source."""

from typing import Any, Final

from service.contract.triggers import TriggerSource

_PLAIN: Final[dict[str, Any]] = {"id": "run-1", "model": "facebook/opt-125m"}

_RECIPE: Final[dict[str, Any]] = {"preset": "balanced"}
_OF_PLAIN: Final[dict[str, Any]] = {"model": {"id": "${{ data.model }}"}, "recipe": _RECIPE}

TEMPLATES: Final[dict[TriggerSource, dict[str, Any]]] = {
    TriggerSource.ANY: _OF_PLAIN,
    TriggerSource.JSON: _OF_PLAIN,
    TriggerSource.CLOUDEVENTS: _OF_PLAIN,
    TriggerSource.HUGGINGFACE: {
        "model": {"id": "${{ data.repo.name }}", "revision": "${{ data.repo.headSha }}"},
        "recipe": _RECIPE,
    },
    TriggerSource.MLFLOW: {"model": {"id": "${{ data.tags.hub_id }}"}, "recipe": _RECIPE},
}
"""Templates that form a valid job with the sample of their source."""

SAMPLES: Final[dict[TriggerSource, dict[str, Any]]] = {
    TriggerSource.ANY: _PLAIN,
    TriggerSource.JSON: _PLAIN,
    TriggerSource.CLOUDEVENTS: {
        "specversion": "1.0",
        "id": "1",
        "source": "/registry",
        "type": "model.created",
        "data": {"model": "facebook/opt-125m"},
    },
    TriggerSource.HUGGINGFACE: {
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {"type": "model", "id": "6366c000a2abcdf2fd69a080", "name": "facebook/opt-125m", "headSha": "main"},
        "updatedRefs": [{"ref": "refs/heads/main"}],
        "webhook": {"id": "6390e855e30d9209411de93b", "version": 3},
    },
    TriggerSource.MLFLOW: {
        "entity": "model_version",
        "action": "created",
        "timestamp": "2026-01-31T12:00:00+00:00",
        "data": {"name": "opt-125m", "version": "1", "source": "models:/1", "tags": {"hub_id": "facebook/opt-125m"}},
    },
}
"""Abridged payloads of each source."""
