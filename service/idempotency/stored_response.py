"""An answer in a form that can be kept and given again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel
from starlette.responses import Response


@dataclass(frozen=True)
class Answer:
    """What a caller is told: status, headers, and JSON."""

    status: int
    headers: Mapping[str, str]
    body: str
    is_replay: bool = False
    """It was given before."""

    @classmethod
    def of(cls, content: BaseModel, *, status: int, headers: Mapping[str, str]) -> Self:
        return cls(status, headers, content.model_dump_json())

    def response(self, more: Mapping[str, str] | None = None) -> Response:
        """As HTTP, with `more` headers."""
        replayed = {"Idempotency-Replayed": "true"} if self.is_replay else {}
        return Response(self.body, self.status, {**self.headers, **replayed, **(more or {})}, "application/json")


REPLAYED: dict[str, Any] = {
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "the request was carried out before, under this `Idempotency-Key`; this is the answer that was given then",
    }
}
"""Declares the header for the OpenAPI document."""
