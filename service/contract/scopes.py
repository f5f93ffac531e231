"""What an API key may do."""

from enum import StrEnum


class Scope(StrEnum):
    """What an API key may do. `admin` includes the others."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    ARTIFACTS_READ = "artifacts:read"
    ADMIN = "admin"
