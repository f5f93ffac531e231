"""Everything that comes from the environment (`DSNOT_…`), read once and typed."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.storage.addresses import check_public_endpoint, check_url

PLACEHOLDER: Final = "change-me"
"""What .env.example says where a secret belongs."""


class Settings(BaseSettings):
    """What service, dispatcher and worker need to know about where they run."""

    model_config = SettingsConfigDict(env_prefix="DSNOT_", frozen=True, extra="ignore")

    database_url: SecretStr
    """`postgresql://…`"""
    broker_url: SecretStr
    """`redis://…`"""
    artifact_url: str
    """`file:///…`, `s3://bucket/prefix`, `gs://…` or `az://…`"""
    model_root: Path
    """Local models are folders below it."""
    cache_dir: Path
    """Models fetched from a hub, scratch, and the finished blocks of jobs that go on."""

    device: str = "auto"
    hub_allow: list[str] = Field(default=[])
    """fnmatch patterns of hub ids that may be used; empty allows all."""
    hub_from_service: bool = True
    """The service itself asks the hub, at creation: False where only the workers have a way out. Then they pin revisions."""
    hub_seconds: float = Field(3.0, gt=0)
    """How long a creation waits for the hub before the job is accepted without an answer."""
    hub_tokens_dir: Path | None = None
    """Tokens for gated models and for uploads, a file each: `<tenant>/<name>`."""
    hub_upload_to: list[str] = Field(default=["*"])
    """fnmatch patterns of the hub's repositories that jobs may upload their artifacts to; none: no job may."""
    hub_upload_seconds: float = Field(4 * 3600.0, gt=0)
    """How long an upload to the hub may take."""

    signing_key: Path | None = None
    """With which workers sign artifacts: a private key on P-256, P-384 or P-521, in PEM, without a password; unset: none is."""
    tasks_dir: Path | None = None
    """The operator's own tasks for the evaluation harness, YAML files and their data, where a worker can read them."""

    max_model_cache_bytes: int | None = Field(None, ge=1)
    """Per host: beyond it the models of the hub that were not used for longest are removed; unset: when the disk is full."""

    lease_seconds: float = Field(60.0, gt=0)
    heartbeat_seconds: float = Field(5.0, gt=0)
    dispatch_seconds: float = Field(1.0, gt=0)
    """How often the dispatcher looks, at the least; a new outbox row wakes it at once."""
    resend_seconds: float = Field(30.0, gt=0)
    """How long a queued job waits unclaimed before its message is sent again."""
    retry_seconds: float = Field(5.0, ge=0)
    """Wait before the second attempt; doubles with each further one."""

    keep_blocks_seconds: float = Field(7 * 86400.0, ge=0)
    """How long the finished blocks of a failed job are kept, for somebody who wants to try again."""
    sweep_seconds: float = Field(60.0, gt=0)
    """How often the dispatcher removes from the artifact store what is of no use any more."""
    keep_artifacts_seconds: float | None = Field(None, gt=0)
    """How long the artifacts of finished jobs are kept; unset: for ever."""
    max_artifact_bytes: int | None = Field(None, ge=1)
    """Per tenant: beyond it the oldest artifacts are removed; unset: no limit."""

    secret_key: SecretStr | None = Field(None, min_length=32)
    """From which the secrets of webhooks and triggers are derived; without it there are none. A new one makes all of them new."""
    webhooks_may_be_local: bool = False
    """For development: messages may go to http:// and to addresses of this network."""
    webhook_seconds: float = Field(15.0, gt=0)
    """How long a receiver may take to answer."""
    webhook_retry_seconds: tuple[float, ...] = (5, 300, 1800, 7200, 18_000, 36_000, 25_200)
    """The waits before a message is tried again."""
    keep_deliveries_seconds: float = Field(30 * 86400.0, gt=0)
    """How long the log of deliveries goes back."""

    keep_firings_seconds: float = Field(30 * 86400.0, gt=0)
    """How long the log of a trigger goes back, and how long an event is known as one that has started a job."""
    max_triggers: int = Field(100, ge=1)
    """Per tenant."""
    max_webhooks: int = Field(20, ge=1)
    """Per tenant."""

    reads_per_minute: int = Field(6000, ge=0)
    """Per API key; 0: as many as they like."""
    writes_per_minute: int = Field(1200, ge=0)
    """Per API key; 0: as many as they like."""
    session_seconds: float = Field(12 * 3600.0, ge=60)
    """How long somebody who has signed in to the dashboard stays signed in."""
    keep_audit_seconds: float = Field(365 * 86400.0, gt=0)
    """How long the audit log goes back."""

    max_body_bytes: int = 64 * 1024
    max_dataset_bytes: int = Field(64 * 1024**2, ge=1)
    """Of one upload of text."""
    max_datasets_bytes: int = Field(10 * 1024**3, ge=1)
    """Per tenant: of all uploads of text together."""
    max_uploads: int = Field(8, ge=1)
    """Per service process, at once. Each takes room in the folder for temporary files, for as long as it lasts."""
    max_queued_jobs: int = Field(1000, ge=1)
    """Per tenant."""
    max_event_streams: int = Field(1000, ge=1)
    """Per service process."""
    presign_seconds: int = Field(300, ge=1)

    alive_file: Path | None = None
    """Touched by dispatcher and worker as long as they do their work, for `python -m service.ops.liveness`."""

    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Where dispatcher and worker answer Prometheus; unset: nowhere. The service does it at `/metrics` of its own port."""
    metrics_host: str = "127.0.0.1"

    artifact_public_endpoint: str | None = None
    """`https://…` under which callers reach an s3:// store, where that is another than the service's own (`AWS_ENDPOINT_URL`)."""
    store_timeout_seconds: float = Field(60.0, gt=0)
    """How long a worker waits for one request to a remote store; a part of a file has some 8 MB."""
    store_retry_seconds: float = Field(120.0, ge=0)
    """For how long a worker tries such a request again."""
    upload_sweep_seconds: float = Field(600.0, gt=0)
    """How often a dispatcher looks for multipart uploads that nobody will complete."""

    host: str = "127.0.0.1"
    port: int = 8321
    log_level: str = "INFO"
    log_format: str = Field("json", pattern="^(json|text)$")

    @field_validator("artifact_url")
    @classmethod
    def _check_artifact_url(cls, url: str) -> str:
        return check_url(url)

    @field_validator("artifact_public_endpoint")
    @classmethod
    def _check_public_endpoint(cls, endpoint: str | None) -> str | None:
        return check_public_endpoint(endpoint) if endpoint else None

    def local_model(self, model_id: str) -> Path:
        """The folder of a local model.

        Raises:
            ValueError: it would lie outside the model root once links are resolved.
            FileNotFoundError: there is no such folder.
        """
        root = self.model_root.resolve()
        path = (root / model_id).resolve()
        if not path.is_relative_to(root) or path == root:
            raise ValueError(f"{model_id} is not below the model root")
        if not path.is_dir():
            raise FileNotFoundError(f"there is no local model {model_id}")
        return path

    @field_validator("database_url", "broker_url", "artifact_url", "secret_key")
    @classmethod
    def _is_no_placeholder(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and PLACEHOLDER in text:
            raise ValueError(f"still holds the placeholder {PLACEHOLDER!r}; put a secret of your own in its place")
        return value


def problems_of(error: ValidationError) -> list[str]:
    """What is wrong with the environment, variable by variable."""
    return [_sentence(each) for each in error.errors()]


def _sentence(problem: ErrorDetails) -> str:
    variable = f"DSNOT_{'_'.join(str(step) for step in problem['loc']).upper()}"
    words = "is not set" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
    return words if words.startswith(variable) else f"{variable}: {words}"


@lru_cache
def get_settings() -> Settings:
    """The process's settings.

    Raises:
        pydantic.ValidationError: a variable is missing or malformed; it names the variable.
    """
    return Settings()


class HomeSettings(BaseSettings):
    """`$DSNOT_HOME`: where the embedded stack keeps everything."""

    model_config = SettingsConfigDict(env_prefix="DSNOT_", extra="ignore")

    home: Path = Field(default_factory=lambda: Path("/var/lib/dsnot") if os.geteuid() == 0 else user_data_path("dsnot"))


class LivenessSettings(BaseSettings):
    """What a health check needs to know."""

    model_config = SettingsConfigDict(env_prefix="DSNOT_", extra="ignore")

    alive_file: Path | None = None
