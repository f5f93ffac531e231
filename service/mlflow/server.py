"""REST API of an MLflow server. Of it a dozen calls are used, which need no client library in the image of the service."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from service.contract.failures import shortened
from service.kit.network_errors import reason_of
from service.settings import Settings

_SILENCE: Final = 0.25
"""Longest wait for a part of an answer, as a share of the time of an attempt."""
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_CREDENTIALS: Final = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


class MlflowError(Exception):
    """Failed call; the message is for the user whose job is logged."""

    def __init__(self, detail: str, *, code: str | None = None, is_final: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        """MLflow's error code."""
        self.is_final = is_final
        """Whether the same call would fail again."""


class MlflowServer:
    """Connection to the MLflow server for the calls of one attempt, all of which end at one deadline."""

    def __init__(self, settings: Settings) -> None:
        assert settings.mlflow_tracking_uri is not None
        self._seconds, self._silence = settings.mlflow_seconds, settings.mlflow_seconds * _SILENCE
        self._deadline = _now() + self._seconds
        self._client = httpx.Client(
            base_url=settings.mlflow_tracking_uri, timeout=self._silence, headers={"User-Agent": "dsnot-mlflow/1"}
        )
        if settings.mlflow_username and settings.mlflow_password:  # MLflow's client prefers them to a token
            self._client.auth = httpx.BasicAuth(settings.mlflow_username, settings.mlflow_password.get_secret_value())
        elif settings.mlflow_token:
            self._client.headers["Authorization"] = f"Bearer {settings.mlflow_token.get_secret_value()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a query. Raises MlflowError."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a command. Raises MlflowError."""
        return self._call("POST", path, json=body)

    def upload(self, path: str, content: bytes) -> None:
        """Write a file through the server's proxy of artifacts. Raises MlflowError."""
        self._exchange("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}", content=content)

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        answer = _object(self._exchange(method, f"/api/2.0/mlflow/{path}", **content))
        if answer is None:
            raise MlflowError("the answer is not MLflow's; check DSNOT_MLFLOW_TRACKING_URI")
        return answer

    def _exchange(self, method: str, path: str, **content: Any) -> bytes:
        timeout = min(self._silence, self._left())
        try:
            with self._client.stream(method, path, timeout=timeout, **content) as response:
                answer = bytearray()
                for chunk in response.iter_bytes():
                    answer += chunk
                    if len(answer) > _MAX_ANSWER_BYTES:
                        raise MlflowError("MLflow's answer is too large")
                    self._left()
        except httpx.TimeoutException:
            raise MlflowError(f"MLflow gave no answer within {timeout:.3g} s") from None
        except httpx.HTTPError as error:
            raise MlflowError(f"MLflow cannot be reached: {reason_of(error)}") from None
        if not response.is_success:
            raise _error(response.status_code, _object(bytes(answer)) or {})
        return bytes(answer)

    def _left(self) -> float:
        left = self._deadline - _now()
        if left <= 0:
            raise MlflowError(f"MLflow took longer than {self._seconds:g} s")
        return left


def lease_seconds(settings: Settings) -> float:
    """Return the time for which an attempt needs its job: connecting, sending and receiving may each exceed the deadline."""
    return settings.mlflow_seconds * (1 + 3 * _SILENCE)


def _object(answer: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(answer or b"{}")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _error(status: int, answer: Mapping[str, Any]) -> MlflowError:
    code, message = answer.get("error_code"), shortened(str(answer.get("message") or ""))
    if status in (401, 403):
        return MlflowError(f"MLflow answered {status}; check the dispatcher's {_CREDENTIALS}")
    if code and status < 500:
        is_final = status == 400
        return MlflowError(f"MLflow refused the request: {message} ({code})", code=str(code), is_final=is_final)
    hint = "; check DSNOT_MLFLOW_TRACKING_URI" if status < 500 and status not in (408, 429) else ""
    return MlflowError(f"MLflow answered {status}{hint}")


def _now() -> float:
    """Return the time of a clock that continues while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
