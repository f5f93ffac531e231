"""Manifests of artifacts."""

from service.contract.artifacts import MANIFEST_NAME, Manifest
from service.storage.artifact_store import ArtifactStore


def manifest_at(store: ArtifactStore, prefix: str) -> Manifest:
    """Return the manifest below a prefix. Raises FileNotFoundError if there is none, StoreUnavailable."""
    return Manifest.model_validate_json(store.read(f"{prefix}/{MANIFEST_NAME}"))
