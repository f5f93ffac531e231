"""Signature of an artifact, as described in its manifest."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

SIGNATURE_NAME: Final = "model.sig"
"""Bundle in the OpenSSF Model Signing format: the signed hashes of all files except itself and the manifest."""


class SignatureFacts(BaseModel):
    """Signature file and key. Proves nothing by itself: verification needs the public key from a trusted source."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str = SIGNATURE_NAME
    key_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the public key's PEM file")
