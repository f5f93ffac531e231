"""Typed settings from the environment (`DSNOT_…`), read once."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.broker.address import broker_address
from service.contract.validation_errors import detail_of
from service.database.address import DatabaseAddress
from service.storage.addresses import check_public_endpoint, check_url, is_http_url

_SECRET_VARIABLE: Final = re.compile(r"(?!DSNOT_)\w*(PASSWORD|SECRET|TOKEN|_KEY)", re.IGNORECASE)
"""Environment variables of libraries with a secret, such as AWS_SECRET_ACCESS_KEY, AZURE_STORAGE_KEY and HF_TOKEN."""
PLACEHOLDER: Final = "change-me"
"""Value of secrets in .env.example, refused at start-up."""


class DatabaseSettings(BaseSettings):
    """Settings of the commands that use the database alone."""

    model_config = SettingsConfigDict(
        env_prefix="DSNOT_", frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    database_url: SecretStr
    """`postgresql://user:password@host:5432/name`, see [compatibility](../operate/compatibility.md)."""
    database_direct_url: SecretStr | None = None
    """The same database past its pooler, for notifications and migrations; required if the pooler is in transaction mode."""

    @property
    def database_address(self) -> DatabaseAddress:
        """Address for transactions, possibly through a pooler."""
        return DatabaseAddress.of(self.database_url.get_secret_value(), is_pooled=self.database_direct_url is not None)

    @property
    def direct_address(self) -> DatabaseAddress:
        """Address for what needs a session of its own: notifications and migrations."""
        return DatabaseAddress.of((self.database_direct_url or self.database_url).get_secret_value())

    @field_validator("database_url", "database_direct_url", "broker_url", "artifact_url", "secret_key", check_fields=False)
    @classmethod
    def _is_no_placeholder(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and PLACEHOLDER in text:
            raise ValueError(f"still holds the placeholder {PLACEHOLDER!r}; replace it with your own secret")
        return value

    @field_validator("database_direct_url", mode="before")
    @classmethod
    def _is_set(cls, value: object) -> object:
        return value or None  # an empty variable counts as unset

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _check_database_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            DatabaseAddress.of(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _check_pooled(self) -> Self:
        try:
            _ = self.database_address
        except ValueError as error:
            raise ValueError(f"DSNOT_DATABASE_URL: {error}") from None
        return self


class Settings(DatabaseSettings):
    """Settings of service, dispatcher and worker."""

    broker_url: SecretStr
    """`redis://:password@host:6379/0`, or `rediss://…` with TLS: `?ssl_ca_certs=/ca.pem`, `?ssl_cert_reqs=none`."""
    broker_prefix: str | None = Field(None, pattern=r"^[A-Za-z0-9_.:-]*$")
    """Prefix of all keys in the broker; unset: derived from the database, so that deployments can share a broker."""
    artifact_url: str
    """`file:///…`, `s3://bucket/prefix`, `gs://…` or `az://…`"""
    model_root: Path
    """Folder whose subfolders are the local models."""
    cache_dir: Path
    """Folder for downloaded models, scratch files, and finished blocks of unfinished jobs."""

    device: str = "auto"
    """Device of a worker: `cpu`, `cuda:0`, … as torch counts them; `auto` takes the first usable GPU, else the CPU."""
    hub_allow: list[str] = Field(default=[])
    """fnmatch patterns of the hub model ids that jobs may use; empty: all."""
    hub_from_service: bool = True
    """Whether the service queries the hub when a job is created; false: only workers do, and they pin the revision."""
    hub_seconds: float = Field(3.0, gt=0)
    """Timeout of the hub query at creation; after it the job is accepted unchecked."""
    hub_tokens_dir: Path | None = None
    """Folder of tokens for gated models and uploads, one file each: `<tenant>/<name>`."""
    hub_upload_to: list[str] = Field(default=["*"])
    """fnmatch patterns of the hub repositories that jobs may upload to; `[]` forbids uploads."""
    model_check_seconds: float = Field(15.0, ge=0)
    """Maximum time that an inspection or a plan waits for a worker to check the model."""
    hub_upload_seconds: float = Field(4 * 3600.0, gt=0)
    """Maximum duration of an upload to the hub."""

    signing_key: Path | None = None
    """Private key with which workers sign artifacts: P-256, P-384 or P-521, PEM, no password; unset: no signatures."""
    tasks_dir: Path | None = None
    """Folder of the operator's own evaluation tasks (YAML files and their data), readable by workers."""

    max_model_cache_bytes: int | None = Field(None, ge=1)
    """Maximum size of the model cache per host; least recently used models are evicted. Unset: only when the disk is full."""

    lease_seconds: float = Field(60.0, gt=0)
    """Lease of an attempt; without a heartbeat for this long the job is requeued."""
    heartbeat_seconds: float = Field(5.0, gt=0)
    """Interval of a worker's heartbeats."""
    dispatch_seconds: float = Field(1.0, gt=0)
    """Polling interval of the dispatcher; a new outbox row wakes it at once."""
    resend_seconds: float = Field(30.0, gt=0)
    """Time after which the message of an unclaimed queued job is sent again."""
    retry_seconds: float = Field(5.0, ge=0)
    """Delay before the second attempt; doubles with each further attempt."""
    keep_blocks_seconds: float = Field(7 * 86400.0, ge=0)
    """Retention of a failed job's finished blocks, which a retry reuses."""
    keep_jobs_seconds: float | None = Field(None, gt=0)
    """Retention of ended jobs and sweeps, with artifacts, events and log lines; unset: unlimited."""
    keep_layers_seconds: float | None = Field(90 * 86400.0, gt=0)
    """Retention of the figures of each matrix and block of ended jobs, the most numerous rows; empty: as long as the job."""
    keep_logs_seconds: float = Field(30 * 86400.0, gt=0)
    """Retention of the jobs' log lines; those of a deleted job are deleted with it."""
    sweep_seconds: float = Field(60.0, gt=0)
    """Interval of garbage collection in the artifact store."""
    keep_artifacts_seconds: float | None = Field(None, gt=0)
    """Retention of finished jobs' artifacts; unset: unlimited."""
    max_artifact_bytes: int | None = Field(None, ge=1)
    """Maximum size of a tenant's artifacts; the oldest are removed. Unset: no limit."""

    public_url: str | None = None
    """Address at which people open the dashboard, such as `https://dsnot.example`, for links in messages; unset: no links."""
    secret_key: SecretStr | None = Field(None, min_length=32)
    """Key from which webhook and trigger secrets are derived; unset: no webhooks or triggers. A new key changes all secrets."""
    webhooks_may_be_local: bool = False
    """For development: allow webhook targets with http:// and in private networks."""
    webhook_seconds: float = Field(15.0, gt=0)
    """Timeout of a webhook request."""
    webhook_retry_seconds: tuple[float, ...] = (5, 300, 1800, 7200, 18_000, 36_000, 25_200)
    """Delays between attempts to deliver a message, or to log a job to MLflow, in seconds."""
    keep_deliveries_seconds: float = Field(30 * 86400.0, gt=0)
    """Retention of the delivery log."""
    keep_firings_seconds: float = Field(30 * 86400.0, gt=0)
    """Retention of the log of firings, and the period in which a repeated event is recognised as a duplicate."""
    max_triggers: int = Field(100, ge=1)
    """Maximum number of triggers per tenant."""
    max_webhooks: int = Field(20, ge=1)
    """Maximum number of webhooks per tenant."""

    mlflow_tracking_uri: str | None = None
    """Address of the MLflow server on which jobs with `output.mlflow` are logged, for service and dispatcher; unset: none."""
    mlflow_public_url: str | None = None
    """Address at which people open MLflow's pages, if it differs from the tracking URI."""
    mlflow_register_to: list[str] = Field(default=["*"])
    """fnmatch patterns of the registered models that jobs may add versions to; `[]`: none."""
    mlflow_seconds: float = Field(60.0, gt=0)
    """Maximum duration of an attempt to log a job to MLflow."""
    mlflow_username: str | None = Field(None, validation_alias="MLFLOW_TRACKING_USERNAME")
    """User of the MLflow server, with `MLFLOW_TRACKING_PASSWORD`."""
    mlflow_password: SecretStr | None = Field(None, validation_alias="MLFLOW_TRACKING_PASSWORD")
    """Password of that user."""
    mlflow_token: SecretStr | None = Field(None, validation_alias="MLFLOW_TRACKING_TOKEN")
    """Bearer token of the MLflow server, in place of user and password."""

    reads_per_minute: int = Field(6000, ge=0)
    """Rate limit of reads per tenant, and of its triggers' senders; 0: unlimited."""
    writes_per_minute: int = Field(1200, ge=0)
    """Rate limit of other requests per tenant, and of its triggers' senders; 0: unlimited."""
    session_seconds: float = Field(12 * 3600.0, ge=60)
    """Lifetime of a dashboard session."""
    keep_audit_seconds: float = Field(365 * 86400.0, gt=0)
    """Retention of the audit log, and of API keys that were revoked or have expired."""

    root_path: str = ""
    """Path prefix at which a proxy publishes the service, such as `/tools/dsnot`; the proxy may strip it or pass it on. It must
    not begin like a path of the service (`/v1`, `/jobs`). A trusted proxy's `X-Forwarded-Prefix` takes precedence."""
    trusted_proxies: list[str] = Field(default=[])
    """Addresses and networks of reverse proxies whose `X-Forwarded-For`, `-Proto` and `-Prefix` are believed; empty: none."""

    max_body_bytes: int = 64 * 1024
    """Maximum size of a request body other than a data set."""
    max_dataset_bytes: int = Field(64 * 1024**2, ge=1)
    """Maximum size of one data set upload."""
    max_datasets_bytes: int = Field(10 * 1024**3, ge=1)
    """Maximum size of all data sets of a tenant."""
    max_uploads: int = Field(8, ge=1)
    """Maximum number of concurrent uploads per service process; a tenant may have as many as are free."""
    max_queued_jobs: int = Field(1000, ge=1)
    """Maximum number of queued jobs per tenant."""
    max_event_streams: int = Field(1000, ge=1)
    """Maximum number of concurrent event streams per service process; a tenant may have as many as are free."""
    presign_seconds: int = Field(300, ge=1)
    """Validity of a presigned download URL."""

    alive_file: Path | None = None
    """File that dispatcher and worker touch while they work; `python -m service.ops.liveness` checks its age."""

    metrics_port: int | None = Field(None, ge=1, le=65535)
    """Port of the Prometheus endpoint of dispatcher and worker; unset: none. The service has `/metrics` on its own port."""
    metrics_host: str = "127.0.0.1"
    """Address on which the Prometheus endpoint listens."""

    artifact_public_endpoint: str | None = None
    """`https://host` at which callers reach an s3:// store, if it differs from the service's endpoint (`AWS_ENDPOINT_URL`)."""
    store_timeout_seconds: float = Field(60.0, gt=0)
    """Timeout of a worker's request to a remote store; a part of a file has about 8 MB."""
    store_retry_seconds: float = Field(120.0, ge=0)
    """Period for which a worker retries such a request."""
    upload_sweep_seconds: float = Field(600.0, gt=0)
    """Interval at which a dispatcher looks for abandoned multipart uploads."""
    keep_orphans_seconds: float = Field(7 * 86400.0, ge=0)
    """Grace period from the time when a dispatcher first sees a data set file that the database does not know to its deletion."""

    log_level: str = "INFO"
    """Python log level."""
    log_format: str = Field("json", pattern="^(json|text)$")
    """`json` for machines, `text` for terminals."""

    @field_validator("keep_jobs_seconds", "keep_artifacts_seconds", "keep_layers_seconds", mode="before")
    @classmethod
    def _is_limited(cls, value: object) -> object:
        return value or None if isinstance(value, str) else value  # an empty variable: unlimited

    @field_validator("artifact_url")
    @classmethod
    def _check_artifact_url(cls, url: str) -> str:
        return check_url(url)

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, prefix: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", prefix):
            raise ValueError("is not a path such as /tools/dsnot; begin with a slash, and end without one")
        return prefix

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str | None) -> str | None:
        if url and (not is_http_url(url) or set(url) & set("?#@|<>")):
            raise ValueError("must be an http(s) URL without user and query, such as https://host/tools/dsnot")
        return url.rstrip("/") if url else None

    @field_validator("mlflow_tracking_uri", "mlflow_public_url")
    @classmethod
    def _check_mlflow_url(cls, url: str | None) -> str | None:
        if url and (not is_http_url(url) or set(url) & set("?#@")):
            raise ValueError("must be an http(s) URL such as https://mlflow.example; user and token go into MLFLOW_TRACKING_…")
        return url.rstrip("/") if url else None

    @field_validator("artifact_public_endpoint")
    @classmethod
    def _check_public_endpoint(cls, endpoint: str | None) -> str | None:
        return check_public_endpoint(endpoint) if endpoint else None

    def local_model(self, model_id: str) -> Path:
        """Return the folder of a local model.

        Raises:
            ValueError: the folder is outside the model root once links are resolved.
            FileNotFoundError: there is no such folder.
        """
        root = self.model_root.resolve()
        path = (root / model_id).resolve()
        if not path.is_relative_to(root) or path == root:
            raise ValueError(f"{model_id} is not below the model root")
        if not path.is_dir():
            raise FileNotFoundError(f"there is no local model {model_id}")
        return path

    @field_validator("broker_url")
    @classmethod
    def _check_broker_url(cls, url: SecretStr) -> SecretStr:
        return SecretStr(broker_address(url.get_secret_value()))

    def secrets(self) -> list[str]:
        """Return what no log may contain, for the redactor."""
        urls = [urlsplit(url.get_secret_value()) for url in (self.database_url, self.database_direct_url, self.broker_url) if url]
        written = [url.password or "" for url in urls]
        written += [value for url in urls for name, value in parse_qsl(url.query) if name.endswith("password")]
        key = self.secret_key.get_secret_value() if self.secret_key else ""
        of_libraries = [value for name, value in os.environ.items() if _SECRET_VARIABLE.fullmatch(name)]
        return [key, *written, *map(unquote, written), *of_libraries]


def problems_of(error: ValidationError) -> list[str]:
    """Return one sentence per missing or malformed environment variable."""
    return [_sentence(each) for each in error.errors()]


def variable_of(field: str) -> str:
    """Return the environment variable of a field of the settings, given by name or alias."""
    known = Settings.model_fields.get(field)
    if known is not None and isinstance(known.validation_alias, str):
        return known.validation_alias
    return field if field.isupper() else f"DSNOT_{field.upper()}"


def _sentence(problem: ErrorDetails) -> str:
    variable = variable_of("_".join(str(step) for step in problem["loc"]))
    words = "is not set" if problem["type"] == "missing" else detail_of(problem)
    return words if words.startswith(variable) else f"{variable}: {words}"


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings.

    Raises:
        pydantic.ValidationError: a variable is missing or malformed; the error names it.
    """
    return Settings()


class HomeUnknown(ValueError):
    """The user has no home directory, and DSNOT_HOME is not set."""


def _default_home() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/dsnot")
    try:
        home = user_data_path("dsnot")
    except RuntimeError:
        home = Path("~")
    if not home.is_absolute():  # older releases of platformdirs leave `~` as it is
        raise HomeUnknown("this user has no home directory, and HOME is not set; set DSNOT_HOME to a folder")
    return home


class HomeSettings(BaseSettings):
    """Setting of the embedded stack."""

    model_config = SettingsConfigDict(env_prefix="DSNOT_", extra="ignore", use_attribute_docstrings=True)

    home: Path = Field(default_factory=_default_home)
    """Data directory of the embedded stack (`dsnot up`)."""


class LivenessSettings(BaseSettings):
    """Setting of the health check `service.ops.liveness`."""

    model_config = SettingsConfigDict(env_prefix="DSNOT_", extra="ignore", use_attribute_docstrings=True)

    alive_file: Path | None = None
