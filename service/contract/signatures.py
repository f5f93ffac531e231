"""How an artifact says that, and by whose key, it was signed."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

SIGNATURE_NAME: Final = "model.sig"
"""A bundle in the format of OpenSSF Model Signing: hashes of all files but itself and the manifest, signed."""


class SignatureFacts(BaseModel):
    """What the manifest says of the signature. It proves nothing by itself: who checks brings the key along."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str = SIGNATURE_NAME
    key_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of the public key as a PEM file")
