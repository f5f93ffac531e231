"""Reason of a failed check of any dependency, in one line."""

import psycopg
import redis
from sqlalchemy.exc import SQLAlchemyError

from service.broker import reasons as broker
from service.database import reasons as database
from service.logging import redacted


def reason_of(error: BaseException) -> str:
    """Return why a check failed, without secrets: our own words for database and broker, else the error's first line."""
    if isinstance(error, SQLAlchemyError | psycopg.Error):
        return database.reason_of(error)
    if isinstance(error, redis.RedisError):
        return broker.reason_of(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(lines[0]) if lines else type(error).__name__
