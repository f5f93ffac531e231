"""The URL of a chat service is shown without the path that authorises."""

import pytest

from service.contract.webhooks import WebhookFormat
from service.database.tables.webhooks import Webhook

SLACK = "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXaB3d"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SLACK, "https://hooks.slack.com/…aB3d"),
        ("https://chat.example:8443/hooks/xxx?token=abcdefghijklmnop", "https://chat.example:8443/…mnop"),
        ("https://chat.example/hooks/short", "https://chat.example/…"),
        ("https://chat.example/?secret", "https://chat.example/…"),
    ],
)
def test_a_chat_services_url_is_shown_by_its_host_and_at_most_four_characters(url: str, shown: str) -> None:
    assert Webhook(url=url, format=WebhookFormat.SLACK).shown_url == shown


def test_other_urls_are_shown_whole() -> None:
    assert Webhook(url=SLACK, format=WebhookFormat.DSNOT).shown_url == SLACK
