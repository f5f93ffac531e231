"""Manifests of artifacts."""

from pydantic import ValidationError

from service.contract.artifacts import MANIFEST_NAME, Manifest
from service.logging import get_logger
from service.storage.artifact_store import ArtifactStore

log = get_logger(__name__)


def manifest_at(store: ArtifactStore, prefix: str) -> Manifest:
    """Return the manifest below a prefix. Raises FileNotFoundError if there is none or a damaged one, StoreUnavailable."""
    try:
        return Manifest.model_validate_json(store.read(f"{prefix}/{MANIFEST_NAME}"))
    except ValidationError:
        log.error("manifest_damaged", prefix=prefix)
        raise FileNotFoundError(f"{prefix} has no valid manifest") from None
