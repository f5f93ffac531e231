"""Validation of artifact store URLs."""

from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("file", "s3", "gs", "az")


class StoreNotUsable(ValueError):
    """Invalid URL or configuration of the artifact store; the message says what to set."""


def check_url(url: str) -> str:
    """Return the URL unchanged if it is valid.

    Raises:
        StoreNotUsable: the scheme is not in `SCHEMES`, the folder or bucket is missing, or the URL has credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise StoreNotUsable("DSNOT_ARTIFACT_URL must begin with file:///, s3://, gs:// or az://")
    if parts.scheme == "file":
        if parts.netloc or len(parts.path) < 2:
            raise StoreNotUsable("DSNOT_ARTIFACT_URL must name an absolute folder, such as file:///folder")
    elif not parts.hostname:
        raise StoreNotUsable(f"DSNOT_ARTIFACT_URL names no bucket; use {parts.scheme}://bucket/prefix")
    elif parts.username or parts.password or parts.query or parts.fragment:
        raise StoreNotUsable(
            "DSNOT_ARTIFACT_URL contains more than a bucket and a prefix; put credentials into the store's variables"
        )
    return url


def check_public_endpoint(endpoint: str) -> str:
    """Return the endpoint without a trailing slash if it is valid.

    Raises:
        StoreNotUsable: it is not an http(s) URL with only a host.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise StoreNotUsable("DSNOT_ARTIFACT_PUBLIC_ENDPOINT must be https://host, without bucket or path")
    return endpoint.rstrip("/")
