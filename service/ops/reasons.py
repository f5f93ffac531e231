"""Reason of a failed check of any dependency, in one line."""

import psycopg
import redis
from obstore.exceptions import BaseError
from sqlalchemy.exc import SQLAlchemyError

from service.broker import reasons as broker
from service.database import reasons as database
from service.logging import redacted
from service.storage import reasons as storage


def reason_of(error: BaseException) -> str:
    """Return why a check failed, without secrets and words of libraries."""
    if isinstance(error, SQLAlchemyError | psycopg.Error):
        return database.reason_of(error)
    if isinstance(error, redis.RedisError):
        return broker.reason_of(error)
    if type(error).__module__.startswith("service."):
        return redacted(str(error)) or type(error).__name__
    if isinstance(error, BaseError | OSError):
        return storage.reason_of(error)
    return f"an unexpected error ({type(error).__name__})"
