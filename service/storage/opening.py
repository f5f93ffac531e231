"""Opening the artifact store that `DSNOT_ARTIFACT_URL` names, for the service, the dispatcher and the worker alike.

Credentials, endpoint and region come from the environment, as the store's own tools read them: `AWS_…`, `GOOGLE_…`, `AZURE_…`.
"""

import os
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from service.storage.addresses import StoreNotUsable, check_url

_VARIABLES: Final = {
    "s3": ("AWS_…", "AWS_"),
    "gs": ("GOOGLE_…", "GOOGLE_"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_…", "AZURE_"),
}
_CLIENT: Final = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_ca_certificate", "proxy_excludes")


def open_at(url: str, **options: Any) -> ObjectStore:
    """The store at an address: a local folder, which is created, or a bucket, which must exist; `options` are for buckets.

    Raises:
        StoreNotUsable: the address or the environment does not suffice.
        OSError: the local folder cannot be created.
    """
    if check_url(url).startswith("file:"):
        return from_url(url, mkdir=True, automatic_cleanup=True)
    variables, prefix = _VARIABLES[urlsplit(url).scheme]
    known = {name: os.environ[f"{prefix}{name.upper()}"] for name in _CLIENT if os.environ.get(f"{prefix}{name.upper()}")}
    if "client_options" in options:  # which would otherwise hide what the environment says of the client
        options["client_options"] = known | options["client_options"]
    try:
        return from_url(url, **options)
    except BaseError as error:
        reason = str(error).splitlines()[0]
        raise StoreNotUsable(f"DSNOT_ARTIFACT_URL cannot be opened with what {variables} say: {reason}") from error


def open_for_callers(url: str, endpoint: str) -> ObjectStore:
    """The same store for signing alone, under the endpoint at which callers reach it.

    Raises:
        StoreNotUsable: the store is not S3, or cannot be opened.
    """
    if not url.startswith("s3:"):
        raise StoreNotUsable("DSNOT_ARTIFACT_PUBLIC_ENDPOINT is for s3:// alone; unset it")
    if os.environ.get("AWS_ENDPOINT_URL_S3"):  # it would win over what is said here
        raise StoreNotUsable(
            "beside DSNOT_ARTIFACT_PUBLIC_ENDPOINT name the store with AWS_ENDPOINT_URL, not AWS_ENDPOINT_URL_S3"
        )
    return open_at(url, endpoint=endpoint, client_options={"allow_http": endpoint.startswith("http:")})
