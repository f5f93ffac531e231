"""Signing an artifact with the worker's own key, in the format of OpenSSF Model Signing.

The key is a file that the operator names (DSNOT_SIGNING_KEY): an elliptic-curve key on P-256, P-384 or P-521, in PEM, without a
password. It is read where it is used, and never copied.
"""

import hashlib
from pathlib import Path
from typing import Final

from service.contract.artifacts import MANIFEST_NAME
from service.contract.failures import FailureCode
from service.contract.signatures import SIGNATURE_NAME, SignatureFacts
from service.logging import get_logger
from worker.failures import JobFailure

log = get_logger(__name__)
_CURVES: Final = {"secp256r1", "secp384r1", "secp521r1"}


def key_facts(key: Path) -> SignatureFacts:
    """Return the facts on the signature of an artifact signed with this key.

    Raises:
        JobFailure: `internal`: the key cannot sign; the log says why.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:  # TypeError: it has a password
        raise _not_usable(type(error).__name__) from error
    if not isinstance(private, EllipticCurvePrivateKey) or private.curve.name not in _CURVES:
        raise _not_usable("it is not on P-256, P-384 or P-521")
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return SignatureFacts(key_sha256=hashlib.sha256(public).hexdigest())


def sign(folder: Path, key: Path) -> SignatureFacts:
    """Write `model.sig` into the folder, over all its files. The library hashes them once more.

    Raises:
        JobFailure: as `key_facts`.
    """
    from model_signing import hashing, signing

    facts = key_facts(key)
    signature = folder / SIGNATURE_NAME
    signature.unlink(missing_ok=True)
    hashed = hashing.Config().set_ignored_paths(paths=[SIGNATURE_NAME, MANIFEST_NAME])
    signing.Config().set_hashing_config(hashed).use_elliptic_key_signer(private_key=key).sign(folder, signature)
    return facts


def _not_usable(why: str) -> JobFailure:
    log.error("signing_key_not_usable", reason=why)
    return JobFailure(FailureCode.INTERNAL, "The worker's signing key cannot be used; its log says why.")
