"""botocore's client of an S3 bucket, for the calls that obstore does not have."""

import os
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from service.storage.addresses import ENDPOINTS

_TRUE: Final = ("1", "true", "yes", "on", "y")


def s3_client(bucket: str, timeout_seconds: float, retries: int) -> Any:
    """Return an S3 client with AWS's credential chain, and endpoint and region from the variables that obstore reads."""
    import botocore.session
    from botocore.config import Config

    endpoint = next((os.environ[name] for name in ENDPOINTS["s3"] if os.environ.get(name)), None)
    if endpoint and os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in _TRUE:
        parts = urlsplit(endpoint)
        endpoint = urlunsplit(parts._replace(netloc=parts.netloc.removeprefix(f"{bucket}.")))
    session = botocore.session.get_session()
    session.register_component("data_loader", _loader())
    return session.create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=timeout_seconds,
            retries={"total_max_attempts": retries + 1, "mode": "standard"},
        ),
    )


@cache
def _loader() -> Any:
    """Return botocore's loader of its service descriptions, shared because a client otherwise parses megabytes of JSON."""
    import botocore.loaders

    return botocore.loaders.create_loader()
