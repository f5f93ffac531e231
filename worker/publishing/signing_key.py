"""Private key with which a worker signs: P-256, P-384 or P-521 in PEM, without a password. Imported before torch."""

import hashlib
from pathlib import Path
from typing import Final

_CURVES: Final = {"secp256r1", "secp384r1", "secp521r1"}


class UnusableKey(Exception):
    """Key that cannot sign; the message is a predicate, such as "has a password"."""


def fingerprint_of(key: Path) -> str:
    """Return the SHA-256 of the public key in PEM. Raise UnusableKey."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        raise UnusableKey(f"cannot be read: {error.strerror}") from None
    except TypeError:
        raise UnusableKey("has a password; store the key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey("is no private key in PEM") from None
    if not isinstance(private, EllipticCurvePrivateKey) or private.curve.name not in _CURVES:
        raise UnusableKey("is not an elliptic-curve key on P-256, P-384 or P-521")
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()
