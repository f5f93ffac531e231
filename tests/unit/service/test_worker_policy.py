"""Bucket policy of the workers: what `dsnot migrate` writes into a bucket."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from service.storage import worker_policy
from service.storage.addresses import StoreNotUsable
from service.storage.worker_policy import policy_with_worker

URL = "s3://bucket/below/here"
OTHER = {
    "Sid": "Auditor",
    "Effect": "Allow",
    "Principal": {"AWS": ["a"]},
    "Action": ["s3:GetObject"],
    "Resource": ["arn:aws:s3:::bucket/*"],
}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Any:
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "secret"}
    client = botocore.session.get_session().create_client("s3", region_name="us-east-1", **keys)
    monkeypatch.setattr(worker_policy, "s3_client", lambda *_, **__: client)
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


def expect_put(stub: Any, policy: dict[str, Any]) -> None:
    stub.add_response("put_bucket_policy", {}, {"Bucket": "bucket", "Policy": json.dumps(policy)})


def test_a_bucket_without_a_policy_gets_one(stub: Any) -> None:
    stub.add_client_error("get_bucket_policy", "NoSuchBucketPolicy", http_status_code=404)
    expect_put(stub, policy_with_worker(URL, "worker", {}))
    worker_policy.ensure(URL, "worker")


def test_statements_of_others_stay_and_its_own_are_replaced(stub: Any) -> None:
    neighbour = policy_with_worker("s3://bucket/neighbour", "another", {"Version": "2012-10-17", "Statement": [OTHER]})
    before = policy_with_worker(URL, "old", neighbour)
    stub.add_response("get_bucket_policy", {"Policy": json.dumps(before)}, {"Bucket": "bucket"})
    after = policy_with_worker(URL, "new", neighbour)
    expect_put(stub, after)
    worker_policy.ensure(URL, "new")
    assert OTHER in after["Statement"]
    assert [each["Principal"]["AWS"][0] for each in after["Statement"]] == ["a", *["another"] * 3, *["new"] * 3]
    assert len({each["Sid"] for each in after["Statement"]}) == 7


def test_a_store_without_policies_is_refused_with_the_remedy(stub: Any) -> None:
    stub.add_client_error("get_bucket_policy", "NotImplemented", "words of the store", http_status_code=501)
    with pytest.raises(OSError, match=r"\(NotImplemented\); grant s3:GetBucketPolicy") as refused:
        worker_policy.ensure(URL, "worker")
    assert "words of the store" not in str(refused.value)


@pytest.mark.parametrize("url", ["file:///folder", "gs://bucket", ""])
def test_other_stores_are_refused(url: str) -> None:
    with pytest.raises(StoreNotUsable, match="DSNOT_"):
        worker_policy.ensure(url, "worker")
