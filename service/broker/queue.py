"""Broker client: send a task by name, count queued messages. Only this module of the service imports Celery."""

from typing import Any, Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from service.broker.reasons import reason_of

_SECONDS: Final = 2.0


class QueueUnavailable(Exception):
    """Broker timeout or refusal; a message may or may not have been delivered."""


class Queue:
    """Connection to the broker with timeouts of two seconds and no reconnect loop.

    Args:
        prefix: prefix of all keys, so that deployments can share a broker.
    """

    def __init__(self, broker_url: str, prefix: str = "") -> None:
        self._celery = Celery("dsnot", broker=broker_url, set_as_current=False)
        self._celery.conf.update(
            task_ignore_result=True,
            task_serializer="json",
            broker_transport_options={
                "global_keyprefix": prefix,
                "socket_connect_timeout": _SECONDS,
                "socket_timeout": _SECONDS,
                "socket_keepalive": True,
                "max_retries": 1,  # kombu's default waits for the broker indefinitely
                "interval_start": 0,
                "interval_step": 0,
            },
        )
        self._redis = redis.Redis.from_url(broker_url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS)
        self._prefix = prefix

    def send(self, task: str, payload: dict[str, Any], queue: str, headers: dict[str, str] | None = None) -> None:
        """Append one message to a queue; the headers carry its trace context to the consumer.

        Raises:
            QueueUnavailable: the broker did not accept it.
        """
        try:
            self._celery.send_task(task, kwargs=payload, queue=queue, headers=headers, retry=False)
        except (OperationalError, redis.RedisError, OSError) as error:
            raise QueueUnavailable(reason_of(error)) from error

    def backlog(self, queue: str) -> int:
        """Return the number of messages of a queue that no worker has taken yet.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        try:
            return int(self._redis.llen(self._prefix + queue))
        except (redis.RedisError, OSError) as error:
            raise QueueUnavailable(reason_of(error)) from error

    def close(self) -> None:
        """Close both connections to the broker."""
        self._celery.close()
        self._redis.close()
