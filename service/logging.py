"""Structured logs: events with fields, as JSON lines or aligned text; secrets are redacted before writing."""

import logging
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service import tracing

_SECRET_FIELDS: Final = re.compile(r"authorization|secret|password|token$|api_key$", re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(
    r"(dsnot_[A-Za-z0-9]+_)[A-Za-z0-9_-]+|(\bhf_)[A-Za-z0-9]{8,}|(whsec_)[A-Za-z0-9+/=]{8,}"
    r"|([?&](?:X-Amz-(?:Credential|Security-Token|Signature)|X-Goog-Signature|Signature|Policy|sig)=)[^&\s'\"]+"
)
"""API keys, hub tokens, webhook secrets, and what authorises in a presigned URL."""
_SHORTEST_SECRET: Final = 6
"""Length from which a secret is redacted by its text; a shorter one would redact parts of other words."""
_secrets: tuple[str, ...] = ()
_USER: Final = re.compile(r"://[^:/@\s]*:")


def configure_logging(level: str = "INFO", log_format: str = "json", secrets: Iterable[str] = ()) -> None:
    """Route events of this code and of libraries through one processor chain to standard error.

    Args:
        secrets: texts to redact wherever they occur, in addition to what looks like a secret.
    """
    _keep(secrets)
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=False) if log_format == "text" else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(renderer))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "urllib3", "filelock", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def hide(secret: str) -> None:
    """Redact a text from now on, wherever it occurs."""
    _keep([*_secrets, secret])


def _keep(secrets: Iterable[str]) -> None:
    global _secrets
    _secrets = tuple(sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True))


def formatter(renderer: Processor) -> logging.Formatter:
    """Return the formatter of a handler: `renderer` gets events of this code and of libraries, with secrets redacted."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer, _hide_in_line],
    )


def _shared() -> Sequence[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger for `log.info("job_claimed", job_id=…)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def request_id() -> str | None:
    """Return the id of the current HTTP request; None outside of requests."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.update(tracing.ids())
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Redact fields with the name of a secret, and API keys, hub tokens and passwords within other text."""
    for field, value in event.items():
        if _SECRET_FIELDS.search(field):
            event[field] = "[redacted]"
        elif isinstance(value, str):
            event[field] = redacted(value)
    return event


def redacted(text: str) -> str:
    """Return the text without API keys, hub tokens, webhook secrets, and passwords and signatures of URLs, in linear time."""
    *before_at, last = _hidden(text).split("@")
    without_passwords = "@".join([*map(_without_password, before_at), last])
    return _SECRET_TEXT.sub(lambda found: f"{found[found.lastindex or 0]}[redacted]", without_passwords)


def _hidden(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, "[redacted]")
    return text


def _hide_in_line(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """Redact the known secrets in a finished line: values other than text become text only when it is rendered."""
    return _hidden(line)


def _without_password(text: str) -> str:
    """Return the text in front of an @ without the password that it ends with."""
    word = text.rsplit(maxsplit=1)[-1] if text and not text[-1].isspace() else ""
    user = _USER.search(word)
    return text if user is None or user.end() == len(word) else text[: len(text) - len(word) + user.end()] + "[redacted]"
