"""Reading the manifest of an artifact, which says what the artifact is."""

from service.contract import MANIFEST_NAME, Manifest
from service.storage.artifact_store import ArtifactStore


def manifest_at(store: ArtifactStore, prefix: str) -> Manifest:
    """Raises FileNotFoundError: there is none; StoreUnavailable."""
    return Manifest.model_validate_json(store.read(f"{prefix}/{MANIFEST_NAME}"))
