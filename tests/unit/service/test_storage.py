"""Which address of an artifact store opens which store, and what is said of an address that opens none."""

from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, LocalStore, ObjectStore, S3Store
from pydantic import ValidationError

from service.settings import Settings
from service.storage.addresses import StoreNotUsable
from service.storage.opening import open_at, open_for_callers


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)


@pytest.mark.parametrize(
    ("url", "kind", "place"),
    [
        ("s3://bucket/some/prefix", S3Store, "bucket"),
        ("gs://bucket/some/prefix", GCSStore, "bucket"),
        ("az://bucket/some/prefix", AzureStore, "bucket"),
    ],
)
def test_each_scheme_opens_its_store_below_the_prefix(url: str, kind: type[ObjectStore], place: str) -> None:
    store = open_at(url)

    assert isinstance(store, kind)
    assert store.prefix == "some/prefix"
    assert place in store.config.values()


def test_a_local_folder_is_created(tmp_path: Path) -> None:
    assert isinstance(open_at((tmp_path / "a" / "b").as_uri()), LocalStore)
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://bucket/x", "must begin with"),
        ("https://bucket.s3.amazonaws.com", "must begin with"),
        ("/var/artifacts", "must begin with"),
        ("s3://", "names no bucket"),
        ("gs:///prefix", "names no bucket"),
        ("file://host/folder", "absolute folder"),
        ("file:///", "absolute folder"),
        ("s3://key:secret@bucket/x", "put credentials into"),
        ("s3://my bucket/x", "more than a bucket"),
    ],
)
def test_an_invalid_url_names_the_variable_and_no_secret(url: str, reason: str) -> None:
    with pytest.raises(StoreNotUsable, match=reason) as caught:
        open_at(url)
    assert "DSNOT_ARTIFACT_URL" in str(caught.value)
    assert "secret" not in str(caught.value)
    values = {"database_url": "postgresql://x", "broker_url": "redis://x", "model_root": "/x", "cache_dir": "/x"}
    with pytest.raises(ValidationError, match="DSNOT_ARTIFACT_URL"):
        Settings.model_validate({**values, "artifact_url": url})


@pytest.mark.parametrize(
    ("url", "variable"), [("s3://b/x", "AWS_ENDPOINT_URL"), ("s3://b/x", "AWS_ENDPOINT"), ("az://b/x", "AZURE_STORAGE_ENDPOINT")]
)
@pytest.mark.parametrize(
    "endpoint", ["minio:9000", "127.0.0.1:9000", "http://host ", " http://host", "http://", "http://h:x", "//h"]
)
def test_a_malformed_endpoint_is_refused_before_the_library_crashes_on_it(
    url: str, variable: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, endpoint)
    with pytest.raises(StoreNotUsable, match=f"^{variable} must be a URL such as https://host:9000"):
        open_at(url)


def test_a_region_with_a_blank_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1 ")
    with pytest.raises(StoreNotUsable, match="AWS_REGION contains blanks"):
        open_at("s3://b/x")


def test_azure_without_an_account_names_the_missing_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(StoreNotUsable, match="AZURE_STORAGE_ACCOUNT_NAME"):
        open_at("az://container/prefix")


def test_a_public_endpoint_requires_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreNotUsable, match="DSNOT_ARTIFACT_PUBLIC_ENDPOINT is for s3"):
        open_for_callers("gs://bucket", "https://store.example.org")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://store:7070")
    with pytest.raises(StoreNotUsable, match="AWS_ENDPOINT_URL_S3"):
        open_for_callers("s3://bucket", "https://store.example.org")


@pytest.mark.parametrize("endpoint", ["store.example.org", "ftp://store.example.org", "https://store.example.org/bucket"])
def test_a_public_endpoint_is_a_host_address(endpoint: str) -> None:
    values = {"database_url": "postgresql://x", "broker_url": "redis://x", "model_root": "/x", "cache_dir": "/x"}
    with pytest.raises(ValidationError, match="DSNOT_ARTIFACT_PUBLIC_ENDPOINT"):
        Settings.model_validate({**values, "artifact_url": "s3://bucket", "artifact_public_endpoint": endpoint})
