"""Bucket policy of the workers, which read untrusted models: they change nothing but the files of jobs."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from service.contract.artifacts import job_prefix
from service.contract.datasets import UPLOADS
from service.storage.addresses import StoreNotUsable, check_environment, check_url
from service.storage.reasons import reason_of
from service.storage.s3_client import s3_client

_TIMEOUT_SECONDS: Final = 10.0

OBJECT_RIGHTS: Final = {
    f"{UPLOADS}/*": ["s3:GetObject"],
    job_prefix("*"): ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
}
"""Rights by objects below the store's prefix."""
BUCKET_RIGHTS: Final = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
REMEDY: Final = "grant s3:GetBucketPolicy and s3:PutBucketPolicy, or unset the variable and use the store's own tools"


def policy_with_worker(url: str, principal: str, policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bucket's policy with a worker's rights for the principal; statements of others stay."""
    place = urlsplit(url)
    prefix, bucket = place.path.strip("/"), f"arn:aws:s3:::{place.netloc}"
    below = f"{bucket}/{prefix}/" if prefix else f"{bucket}/"
    label = f"DsnotWorker{sha256(prefix.encode()).hexdigest()[:12]}"
    others = [each for each in policy.get("Statement", []) if not each.get("Sid", "").startswith(label)]
    rights = {bucket: BUCKET_RIGHTS} | {f"{below}{path}": rights for path, rights in OBJECT_RIGHTS.items()}
    allowed = {"Effect": "Allow", "Principal": {"AWS": [principal]}}
    own = [
        {"Sid": f"{label}N{number}", **allowed, "Action": actions, "Resource": [resource]}
        for number, (resource, actions) in enumerate(rights.items())
    ]
    return {"Version": "2012-10-17", **policy, "Statement": [*others, *own]}


def ensure(url: str, principal: str) -> None:
    """Give the principal exactly a worker's rights in the bucket of `url`; other statements of the bucket's policy stay.

    Raises:
        StoreNotUsable: the URL or the environment is invalid, or the store is not S3.
        OSError: the store refuses, does not answer, or has no bucket policies.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if not check_url(url).startswith("s3:"):
        raise StoreNotUsable("DSNOT_WORKER_STORE_PRINCIPAL is for s3:// only; unset it")
    check_environment("s3", os.environ)
    bucket = urlsplit(url).netloc
    client = s3_client(bucket, _TIMEOUT_SECONDS, retries=3)
    try:
        policy = policy_with_worker(url, principal, _policy(client, bucket))
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    except ClientError as error:
        raise OSError(f"the store refused to change the bucket's policy ({error.response['Error']['Code']}); {REMEDY}") from error
    except BotoCoreError as error:
        raise OSError(f"the request to the store failed: {reason_of(error)}") from error


def _policy(client: Any, bucket: str) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        policy: dict[str, Any] = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return {}
    return policy
