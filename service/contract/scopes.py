"""Scopes of API keys."""

from enum import StrEnum


class Scope(StrEnum):
    """Permission of an API key. `admin` includes the others."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    ARTIFACTS_READ = "artifacts:read"
    ADMIN = "admin"
