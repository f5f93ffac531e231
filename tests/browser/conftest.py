"""A real browser before the real service: the system's Chromium, by preference the one without windows; none is fetched."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.contract.scopes import Scope
from service.database.engine import Database
from tests.support.api_server import key_for
from tests.support.browsing import COOKIE, browser, sign_in
from tests.support.settling import COUNT_FETCHES, QUICK_PERIODS

_INSTALLED = [Path("/usr/bin") / name for name in ("chromium-headless-shell", "chromium")]
"""The headless shell takes half the processor time."""
_DEFAULT = next(filter(Path.exists, _INSTALLED), _INSTALLED[0])
CHROMIUM = Path(os.environ.get("DSNOT_CHROMIUM", _DEFAULT))
PATIENCE_MS = 60_000
"""Until Playwright gives up; only a hang takes as long."""
SIZES = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="package")  # not longer: while Playwright is open its event loop runs, and no other can
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():  # which only root can install
        pytest.skip(f"{CHROMIUM} is missing: install Debian's chromium-headless-shell, or name another in DSNOT_CHROMIUM")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # root may not have the sandbox, and a GPU would be emulated
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def key(database: Database) -> str:
    return key_for(database, Scope.ADMIN)


Opening = Callable[..., Page]


def session_of(url: str, key: str) -> str:
    """The cookie of a sign-in without a browser, which would load three pages where a test needs one."""
    with browser(url) as person:
        assert sign_in(person, key).is_redirect
        return person.cookies[COOKIE]


@pytest.fixture
def opened(chromium: Browser, url: str, key: str) -> Iterator[Opening]:
    """Opens a page, each in a browser of its own, by default signed in. At the end, no console may hold an error."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        path: str,
        *,
        at: str = url,
        size: str = "desk",
        scheme: str = "light",
        excused: str = "nothing is",
        is_signed_in: bool = True,
    ) -> Page:
        context = chromium.new_context(viewport=SIZES[size], color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(COUNT_FETCHES + QUICK_PERIODS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if said.type == "error" and excused not in said.text else None
        )
        page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        if is_signed_in:
            context.add_cookies([{"name": COOKIE, "value": session_of(at, key), "url": at}])
        page.goto(f"{at}{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
