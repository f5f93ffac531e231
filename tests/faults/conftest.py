"""The same servers as the integration tests'."""

from tests.integration.conftest import broker, broker_url, bucket, database, database_url, s3, s3_settings, settings

__all__ = ["broker", "broker_url", "bucket", "database", "database_url", "s3", "s3_settings", "settings"]
