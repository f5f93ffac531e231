"""Authentication of event senders: an API key of the trigger's tenant, or the trigger's secret."""

from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, SecurityScopes

from service.contract.scopes import Scope
from service.tenants.quotas.operations import tenant_limits
from service.triggers import operations, proofs
from service.triggers.events.event import wrong
from service.web.authentication import Caller, Unauthenticated, bearer, caller_of, count, key_in
from service.web.dependencies import TheDatabase, TheRates, TheSettings

_BINARY: Final = "ce-specversion"

_secret: Final = APIKeyHeader(
    name="X-Webhook-Secret",
    auto_error=False,
    scheme_name="TriggerSecret",
    description="The trigger's secret, as sent by the Hugging Face Hub",
)
_mlflow: Final = APIKeyHeader(
    name="X-MLflow-Signature",
    auto_error=False,
    scheme_name="MlflowSignature",
    description="MLflow signature with the trigger's secret; requires `X-MLflow-Delivery-Id` and `X-MLflow-Timestamp`",
)
_standard: Final = APIKeyHeader(
    name="webhook-signature",
    auto_error=False,
    scheme_name="StandardWebhooksSignature",
    description="Standard Webhooks signature with the trigger's secret; requires `webhook-id` and `webhook-timestamp`",
)


async def _raw_body(request: Request) -> bytes:
    return await request.body()


RawBody = Annotated[bytes, Depends(_raw_body)]


def _authenticate_sender(
    request: Request,
    needed: SecurityScopes,
    settings: TheSettings,
    database: TheDatabase,
    rates: TheRates,
    body: RawBody,
    _declared: Annotated[Any, Security(bearer)],
) -> Caller:
    """Return the caller. A wrong secret and an unknown trigger give the same error; an API key takes precedence."""
    if key_in(request) is not None or not proofs.is_given(request.headers):
        return caller_of(request, needed)
    trigger_id = _uuid(request.path_params["trigger_id"])
    proven = trigger_id and operations.proven_sender(database, settings, trigger_id, request.headers, body)
    if not proven:
        raise Unauthenticated("the trigger's secret or signature is invalid, or the signature is older than five minutes")
    tenant, request.state.covered = proven
    caller = Caller(tenant, f"trigger {trigger_id}", frozenset(needed.scopes))
    request.state.caller = caller
    count(request, rates, f"triggers of {tenant}", tenant_limits(database, settings, tenant))
    return caller


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def covered_headers(request: Request) -> Mapping[str, str]:
    """Return the headers that may identify the event: all of a sender with a key or the secret, those that a signature covers.

    Raises:
        InvalidInput: a signature does not cover the attributes of a binary CloudEvent.
    """
    covered: Mapping[str, str] = getattr(request.state, "covered", request.headers)
    if _BINARY in request.headers and _BINARY not in covered:
        raise wrong(_BINARY, "is not covered by the signature; send the CloudEvent as application/cloudevents+json")
    return covered


PROOFS: Final = [Security(_secret), Security(_mlflow), Security(_standard)]
"""Security schemes declared in addition to the key. They have no scopes, so `Sender` does not depend on them."""

Sender = Annotated[Caller, Security(_authenticate_sender, scopes=[Scope.JOBS_WRITE])]
