"""Validation of artifact store URLs."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("file", "s3", "gs", "az")
ENDPOINTS: Final = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": (),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""Variables of the endpoint, the one that takes precedence first."""
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_BUCKET: Final = re.compile("[A-Za-z0-9._-]+")
_BLANK: Final = re.compile(r"[\s\x00-\x1f]")


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
    elif not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment:
        raise StoreNotUsable(
            "DSNOT_ARTIFACT_URL contains more than a bucket and a prefix; put credentials into the store's variables"
        )
    return url


def check_environment(scheme: str, environment: Mapping[str, str]) -> None:
    """Check endpoint and region of the store: malformed ones make its library crash at the first request.

    Raises:
        StoreNotUsable: an endpoint is not an http(s) URL, or a region has blanks.
    """
    for name in ENDPOINTS[scheme]:
        if environment.get(name) and not is_http_url(environment[name]):
            raise StoreNotUsable(f"{name} must be a URL such as https://host:9000, with its scheme and without blanks")
    for name in _REGIONS if scheme == "s3" else ():
        if _BLANK.search(environment.get(name, "")):
            raise StoreNotUsable(f"{name} contains blanks; remove them")


def is_http_url(text: str) -> bool:
    """Return whether the text is an http(s) URL with a host, a valid port and no blanks."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not _BLANK.search(text)
    except ValueError:
        return False


def check_public_endpoint(endpoint: str) -> str:
    """Return the endpoint without a trailing slash if it is valid.

    Raises:
        StoreNotUsable: it is not an http(s) URL with only a host.
    """
    if not is_http_url(endpoint) or urlsplit(endpoint).path not in ("", "/") or urlsplit(endpoint).query:
        raise StoreNotUsable("DSNOT_ARTIFACT_PUBLIC_ENDPOINT must be https://host, without bucket or path")
    return endpoint.rstrip("/")
