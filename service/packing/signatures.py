"""Checking the signature of an artifact's folder with a public key that the caller trusts."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

from service.contract import MANIFEST_NAME, SIGNATURE_NAME


class SignatureFault(Exception):
    """The base; the message is a sentence for a person."""

    type: ClassVar[str]
    """Stable, for programs."""


class NoSignature(SignatureFault):
    type = "not-signed"

    def __init__(self) -> None:
        super().__init__(f"there is no {SIGNATURE_NAME}: the artifact was not signed, or the signature was taken away")


class BrokenSignature(SignatureFault):
    type = "signature-broken"

    def __init__(self) -> None:
        super().__init__(f"{SIGNATURE_NAME} is no signature that can be read, or was changed; fetch it again")


class ForeignKey(SignatureFault):
    """Signed, but not with the key that is trusted."""

    type = "signed-by-another-key"

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(f"it is signed with the key {found or 'of nobody'}, and the given one is {wanted}; do not trust it")


class NotAsSigned(SignatureFault):
    """The signature is good, and the files are others."""

    type = "not-as-signed"

    def __init__(self, what: str) -> None:
        super().__init__(f"the files are not those that were signed: {what}")


class KeyNotUsable(SignatureFault):
    type = "key-not-usable"

    def __init__(self, key: Path) -> None:
        super().__init__(f"{key} is no public key in PEM on P-256, P-384 or P-521; `openssl pkey -in KEY -pubout` makes one")


class NotInstalled(SignatureFault):
    type = "not-installed"

    def __init__(self) -> None:
        super().__init__("checking signatures needs one more library; install it with `pip install 'dsnot[signing]'`")


def check_signature(folder: Path, key: Path, made: Collection[str] = ()) -> None:
    """Check that the folder's files, all of them, are those that the holder of `key` has signed.

    Args:
        key: the public key, a PEM file.
        made: files that were made of signed ones and may be there, too, such as unpacked weights.

    Raises:
        SignatureFault: they are not, or it cannot be told.
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
    """What a public key is known by: the SHA-256 of its PEM file, as `openssl pkey -pubout | sha256sum` tells it.

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
    """What the bundle says of the key; whether that is true is for the check to find out."""
    try:
        bundle: Any = json.loads(signature.read_bytes())
        return str(bundle["verificationMaterial"]["publicKey"]["hint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BrokenSignature from None
