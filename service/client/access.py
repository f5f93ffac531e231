"""Response models of API keys, audit log and quota."""

from datetime import datetime

from service.client.answer import Answer


class Key(Answer):
    """An API key."""

    id: str
    tenant: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """Accurate to the minute."""
    old_secret_until: datetime | None = None
    key: str | None = None
    """The full key; only in the response that created its secret."""


class SignInLink(Answer):
    """A link that signs one browser in, once."""

    url: str
    valid_seconds: float


class AuditEntry(Answer):
    """A request that might have changed something, and its outcome."""

    id: str
    created_at: datetime
    key_id: str | None = None
    action: str
    path: str
    created: str | None = None
    status: int | None = None
    problem: str | None = None
    request_id: str | None = None
    address: str | None = None


class Share(Answer):
    """Usage of one limit; without `limit` it is unlimited."""

    used: int
    limit: int | None = None


class Quota(Answer):
    """Limits of the tenant, and their usage."""

    queued_jobs: Share
    running_jobs: Share | None = None
    datasets_bytes: Share
    triggers: Share
    webhooks: Share
    artifacts_bytes: Share
    reads_per_minute: int | None = None
    writes_per_minute: int | None = None
    share: int | None = None
    max_priority: int | None = None
    keep_jobs_seconds: float | None = None
    keep_artifacts_seconds: float | None = None
    keep_layers_seconds: float | None = None
    keep_audit_seconds: float | None = None
