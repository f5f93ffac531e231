"""Reading the manifest of an artifact, which says what the artifact is."""

from service.artifacts.store import ArtifactStore
from service.contract import MANIFEST_NAME, Manifest


def manifest_at(store: ArtifactStore, prefix: str) -> Manifest:
    """Raises FileNotFoundError: there is none; StoreUnavailable."""
    return Manifest.model_validate_json(store.read(f"{prefix}/{MANIFEST_NAME}"))
