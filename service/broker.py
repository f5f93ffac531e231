"""The broker as the service sees it: send a task by name, count what waits. The only file of the service that knows Celery."""

from typing import Any, Final

import redis
from celery import Celery
from kombu.exceptions import OperationalError

_SECONDS: Final = 2.0


class QueueUnavailable(Exception):
    """The broker did not answer in time. What was to be sent may or may not have arrived."""


class Queue:
    """A connection to the broker that gives up after seconds instead of waiting for it to come back."""

    def __init__(self, broker_url: str) -> None:
        self._celery = Celery("dsnot", broker=broker_url, set_as_current=False)
        self._celery.conf.update(
            task_ignore_result=True,
            task_serializer="json",
            broker_transport_options={
                "socket_connect_timeout": _SECONDS,
                "socket_timeout": _SECONDS,
                "socket_keepalive": True,
                "max_retries": 1,  # kombu's own default is to wait for the broker for ever
                "interval_start": 0,
                "interval_step": 0,
            },
        )
        self._redis = redis.Redis.from_url(broker_url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS)

    def send(self, task: str, payload: dict[str, Any], queue: str, headers: dict[str, str] | None = None) -> None:
        """Put one message at the end of a queue. The headers tell whoever takes it whose it is.

        Raises:
            QueueUnavailable: the broker did not take it.
        """
        try:
            self._celery.send_task(task, kwargs=payload, queue=queue, headers=headers, retry=False)
        except (OperationalError, redis.RedisError, OSError) as error:
            raise QueueUnavailable(str(error)) from error

    def backlog(self, queue: str) -> int:
        """How many messages of a queue no worker has taken yet.

        Raises:
            QueueUnavailable: the broker does not answer.
        """
        try:
            return int(self._redis.llen(queue))
        except (redis.RedisError, OSError) as error:
            raise QueueUnavailable(str(error)) from error

    def close(self) -> None:
        self._celery.close()
        self._redis.close()
