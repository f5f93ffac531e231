"""Signature verification of an artifact's folder with a trusted public key."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from service.contract.artifacts import MANIFEST_NAME
from service.contract.signatures import SIGNATURE_NAME


class SignatureFault(Exception):
    """Base of the errors; the message is for people."""

    type: ClassVar[str]
    """Stable error code, for programs."""


class NoSignature(SignatureFault):
    """Artifact without a signature file."""

    type = "not-signed"

    def __init__(self) -> None:
        super().__init__(f"there is no {SIGNATURE_NAME}: the artifact was not signed, or the signature was removed")


class BrokenSignature(SignatureFault):
    """Signature file that is invalid or was changed."""

    type = "signature-broken"

    def __init__(self) -> None:
        super().__init__(f"{SIGNATURE_NAME} is not a valid signature or was changed; download it again")


class ForeignKey(SignatureFault):
    """Signature by another key than the trusted one."""

    type = "signed-by-another-key"

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(f"it is signed with the key {found or 'unknown'} instead of the given key {wanted}; do not trust it")


class NotAsSigned(SignatureFault):
    """Valid signature of other files."""

    type = "not-as-signed"

    def __init__(self, what: str) -> None:
        super().__init__(f"the files differ from those that were signed: {what}")


class KeyNotUsable(SignatureFault):
    """Public key file with an unsupported format or curve."""

    type = "key-not-usable"

    def __init__(self, key: Path) -> None:
        super().__init__(f"{key} is not a PEM public key on P-256, P-384 or P-521; export one with `openssl pkey -pubout`")


class NotInstalled(SignatureFault):
    """Missing optional dependency for signature verification."""

    type = "not-installed"

    def __init__(self) -> None:
        super().__init__("verifying signatures needs an optional library; install it with `pip install 'dsnot[signing]'`")


def check_signature(folder: Path, key: Path, made: Collection[str] = ()) -> None:
    """Check that all files of the folder were signed with `key`.

    Args:
        key: the public key, a PEM file.
        made: unsigned files that are allowed, because they were derived from signed ones, such as unpacked weights.

    Raises:
        SignatureFault: the files are not signed with the key, or the check is impossible.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from model_signing import hashing, verifying
    except ImportError:
        raise NotInstalled from None
    wanted = key_sha256(key)
    signature = folder / SIGNATURE_NAME
    if not signature.is_file():
        raise NoSignature
    found = _signer_of(signature)
    if found != wanted:
        raise ForeignKey(found, wanted)
    link = next((path for path in folder.rglob("*") if path.is_symlink()), None)
    if link is not None:
        raise NotAsSigned(f"{link.relative_to(folder)} is a link")
    hashed = hashing.Config().set_ignored_paths(paths=[SIGNATURE_NAME, MANIFEST_NAME, *made])
    try:
        verifying.Config().set_hashing_config(hashed).use_elliptic_key_verifier(public_key=key).verify(folder, signature)
    except InvalidSignature:
        raise BrokenSignature from None
    except ValueError as error:
        what = str(error)
        if not what.startswith("Signature mismatch: "):
            raise BrokenSignature from None
        raise NotAsSigned(what.removeprefix("Signature mismatch: ").strip("[]").replace('"', "")) from None


def key_sha256(key: Path) -> str:
    """Return the fingerprint of a public key: the SHA-256 of its PEM, as printed by `openssl pkey -pubout | sha256sum`.

    Raises:
        KeyNotUsable
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        public = load_pem_public_key(key.read_bytes())
    except (OSError, ValueError):
        raise KeyNotUsable(key) from None
    if not isinstance(public, EllipticCurvePublicKey) or public.curve.name not in {"secp256r1", "secp384r1", "secp521r1"}:
        raise KeyNotUsable(key)
    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _signer_of(signature: Path) -> str:
    """Return the key hint in the signature bundle; it is unverified until the signature is checked."""
    try:
        bundle: Any = json.loads(signature.read_bytes())
        return str(bundle["verificationMaterial"]["publicKey"]["hint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BrokenSignature from None
