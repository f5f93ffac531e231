"""Stored form of a response, for replays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel
from starlette.responses import Response


@dataclass(frozen=True)
class Answer:
    """A response: status, headers, and JSON body."""

    status: int
    headers: Mapping[str, str]
    body: str
    is_replay: bool = False
    """Whether this repeats an earlier response."""

    @classmethod
    def of(cls, content: BaseModel, *, status: int, headers: Mapping[str, str]) -> Self:
        """Return the response whose body is `content` as JSON."""
        return cls(status, headers, content.model_dump_json())

    def response(self, more: Mapping[str, str] | None = None) -> Response:
        """Return the HTTP response, with `more` headers."""
        replayed = {"Idempotency-Replayed": "true"} if self.is_replay else {}
        return Response(self.body, self.status, {**self.headers, **replayed, **(more or {})}, "application/json")


REPLAYED: dict[str, Any] = {
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "the request was carried out before under this `Idempotency-Key`; this is the stored response",
    }
}
"""Declaration of the header in the OpenAPI document."""
