"""Which addresses of artifact stores are understood, and what is said of the others."""

from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("file", "s3", "gs", "az")


class StoreNotUsable(ValueError):
    """The address names no store that can be opened; the message says what to set."""


def check_url(url: str) -> str:
    """The address itself.

    Raises:
        StoreNotUsable: its scheme is none of `SCHEMES`, or what it must name is missing.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise StoreNotUsable("DSNOT_ARTIFACT_URL must begin with file:///, s3://, gs:// or az://")
    if parts.scheme == "file":
        if parts.netloc or len(parts.path) < 2:
            raise StoreNotUsable("DSNOT_ARTIFACT_URL must name an absolute folder: file:///folder")
    elif not parts.hostname:
        raise StoreNotUsable(f"DSNOT_ARTIFACT_URL names no bucket: {parts.scheme}://bucket/prefix")
    elif parts.username or parts.password or parts.query or parts.fragment:
        raise StoreNotUsable(
            "DSNOT_ARTIFACT_URL holds more than a bucket and a prefix; credentials belong into the store's variables"
        )
    return url


def check_public_endpoint(endpoint: str) -> str:
    """The endpoint itself.

    Raises:
        StoreNotUsable: it is no address of a host alone.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise StoreNotUsable("DSNOT_ARTIFACT_PUBLIC_ENDPOINT must be https://host, without a bucket")
    return endpoint.rstrip("/")
