"""Opening of the artifact store at `DSNOT_ARTIFACT_URL`, for service, dispatcher and worker.

Credentials, endpoint and region come from the provider's own environment variables: `AWS_…`, `GOOGLE_…`, `AZURE_…`.
"""

import os
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from service.storage.addresses import StoreNotUsable, check_environment, check_url

_VARIABLES: Final = {
    "s3": ("AWS_…", "AWS_"),
    "gs": ("GOOGLE_…", "GOOGLE_"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_…", "AZURE_"),
}
_CLIENT: Final = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_ca_certificate", "proxy_excludes")

_S3: Final = {
    "checksum_algorithm": "SHA256",  # buckets with object lock require a checksum
    "disable_bulk_delete": True,  # some providers have no DeleteObjects
}
"""Options of S3, unless its environment variables say otherwise."""


def open_at(url: str, **options: Any) -> ObjectStore:
    """Open the store at a URL: a local folder, which is created, or a bucket, which must exist; `options` apply to buckets.

    Raises:
        StoreNotUsable: the URL or the environment is invalid.
        OSError: the local folder cannot be created.
    """
    if check_url(url).startswith("file:"):
        return from_url(url, mkdir=True, automatic_cleanup=True)
    scheme = urlsplit(url).scheme
    variables, prefix = _VARIABLES[scheme]
    check_environment(scheme, os.environ)
    if scheme == "s3":
        options = {name: value for name, value in _S3.items() if f"AWS_{name.upper()}" not in os.environ} | options
    known = {name: os.environ[f"{prefix}{name.upper()}"] for name in _CLIENT if os.environ.get(f"{prefix}{name.upper()}")}
    if "client_options" in options:  # which would otherwise replace the environment's client options
        options["client_options"] = known | options["client_options"]
    try:
        return from_url(url, **options)
    except BaseError as error:
        raise StoreNotUsable(f"DSNOT_ARTIFACT_URL cannot be opened; {variables} are missing or malformed") from error


def open_for_callers(url: str, endpoint: str) -> ObjectStore:
    """Open the same store for presigning, at the endpoint that callers use.

    Raises:
        StoreNotUsable: the store is not S3, or cannot be opened.
    """
    if not url.startswith("s3:"):
        raise StoreNotUsable("DSNOT_ARTIFACT_PUBLIC_ENDPOINT is for s3:// only; unset it")
    if os.environ.get("AWS_ENDPOINT_URL_S3"):  # it would take precedence over `endpoint`
        raise StoreNotUsable(
            "DSNOT_ARTIFACT_PUBLIC_ENDPOINT cannot be combined with AWS_ENDPOINT_URL_S3; set AWS_ENDPOINT_URL instead"
        )
    return open_at(url, endpoint=endpoint, client_options={"allow_http": endpoint.startswith("http:")})
