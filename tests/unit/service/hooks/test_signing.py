"""Signatures, held against an implementation of the standard by others."""

import time
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.hooks.signing import secret_of, signatures

HOOK, MESSAGE = UUID(int=1), UUID(int=2)
MASTER = "the service's own secret"


def headers(*secrets: str, body: bytes = b'{"a":"\xc3\xa4"}') -> dict[str, str]:
    now = int(time.time())
    return {
        "webhook-id": str(MESSAGE),
        "webhook-timestamp": str(now),
        "webhook-signature": signatures(list(secrets), MESSAGE, now, body),
    }


def test_a_signature_conforms_to_standard_webhooks() -> None:
    secret = secret_of(MASTER, "webhook", HOOK, 1)
    assert secret.startswith("whsec_")
    assert Webhook(secret).verify(b'{"a":"\xc3\xa4"}', headers(secret)) == {"a": "ä"}


def test_another_body_or_secret_does_not_verify() -> None:
    secret = secret_of(MASTER, "webhook", HOOK, 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(b'{"a":"b"}', headers(secret))
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(MASTER, "webhook", HOOK, 2)).verify(b'{"a":"\xc3\xa4"}', headers(secret))


def test_during_the_overlap_either_secret_verifies() -> None:
    old, new = secret_of(MASTER, "webhook", HOOK, 1), secret_of(MASTER, "webhook", HOOK, 2)
    for secret in (old, new):
        assert Webhook(secret).verify(b'{"a":"\xc3\xa4"}', headers(new, old))


def test_secrets_are_derived_from_kind_id_rotation_and_service() -> None:
    made = {
        secret_of(MASTER, "webhook", HOOK, 1),
        secret_of(MASTER, "webhook", HOOK, 2),
        secret_of(MASTER, "webhook", MESSAGE, 1),
        secret_of(MASTER, "trigger", HOOK, 1),
        secret_of("another", "webhook", HOOK, 1),
    }
    assert len(made) == 5
    assert secret_of(MASTER, "webhook", HOOK, 1) in made
