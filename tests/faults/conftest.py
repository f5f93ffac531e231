"""The same servers as the integration tests'."""

from tests.integration.conftest import broker, broker_url, database, database_url, settings

__all__ = ["broker", "broker_url", "database", "database_url", "settings"]
