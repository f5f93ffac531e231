"""Signing an artifact with the worker's own key, in the format of OpenSSF Model Signing.

The key is a file that the operator names (DSNOT_SIGNING_KEY). A worker checks it when it starts; it is read where it is used, and
never copied.
"""

from pathlib import Path

from service.contract.artifacts import MANIFEST_NAME
from service.contract.failures import FailureCode
from service.contract.signatures import SIGNATURE_NAME, SignatureFacts
from service.logging import get_logger
from worker.failures import JobFailure
from worker.publishing.signing_key import UnusableKey, fingerprint_of

log = get_logger(__name__)


def key_facts(key: Path) -> SignatureFacts:
    """Return the facts on the signature of an artifact signed with this key.

    Raises:
        JobFailure: `internal`: the key cannot sign; the log says why.
    """
    try:
        return SignatureFacts(key_sha256=fingerprint_of(key))
    except UnusableKey as error:
        log.error("signing_key_not_usable", reason=str(error))
        raise JobFailure(FailureCode.INTERNAL, "The worker's signing key cannot be used; its log says why.") from None


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
