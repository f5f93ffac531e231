"""Key pairs for model signing."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


def key_pair(folder: Path, private: PrivateKeyTypes, password: bytes | None = None) -> tuple[Path, Path]:
    """A private key and its public one, as PEM files."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    folder.mkdir(parents=True)
    (folder / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "pub.pem").write_bytes(public)
    return folder / "key.pem", folder / "pub.pem"
