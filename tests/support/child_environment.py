"""Settings as environment variables, for child processes."""

import json
import os
from pathlib import Path

from pydantic import SecretStr

from service.settings import Settings


def environment(settings: Settings) -> dict[str, str]:
    """The same settings as environment variables, for child processes."""
    values = settings.model_dump()
    secret = {name: value.get_secret_value() for name, value in values.items() if isinstance(value, SecretStr)}
    lists = {name: json.dumps(value) for name, value in values.items() if isinstance(value, list | tuple)}
    values |= secret | lists
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float | Path)}
    return dict(os.environ) | {f"DSNOT_{name.upper()}": str(value) for name, value in plain.items()}
