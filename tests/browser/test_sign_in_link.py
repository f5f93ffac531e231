"""Signing in with a one-time link: one button, by mouse or keyboard, in every look."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, violations
from tests.support.settling import settle


def link(url: str, key: str) -> str:
    answer = httpx.post(f"{url}/v1/sessions/links", headers={"Authorization": f"Bearer {key}"})
    return str(answer.json()["path"])


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_the_button_signs_in_once_and_the_token_leaves_the_address(
    opened: Opening, url: str, key: str, scheme: str, size: str
) -> None:
    path = link(url, key)
    token = path.partition("#")[2]
    requests: list[str] = []
    page = opened("/sign-in", is_signed_in=False, scheme=scheme, size=size, excused="the server responded with a status of 401")
    page.on("request", lambda request: requests.append(request.url + str(request.headers)))
    page.goto(url + path)
    settle(page)
    expect(page.get_by_role("button", name="Sign in")).to_be_focused()
    assert page.url == f"{url}/sign-in/link"
    assert page.context.cookies() == []
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert not [each for each in requests if token in each]

    page.goto(url + path)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text(
        "This link has been used, or is older than a minute. Get another one with dsnot open."
    )
    settle(page)
    assert violations(page) == []
    expect(page.get_by_role("button", name="Sign in")).to_be_hidden()


def test_an_address_without_a_token_says_so(opened: Opening, url: str) -> None:
    page = opened("/sign-in/link", is_signed_in=False)
    expect(page.get_by_role("alert")).to_contain_text("This address is no longer a sign-in link.")
    expect(page.get_by_role("button", name="Sign in")).to_be_hidden()
    page.get_by_role("link", name="sign in with an API key").click()
    page.wait_for_url(f"{url}/sign-in")
