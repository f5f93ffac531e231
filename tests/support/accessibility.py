"""Accessibility checks of a page: axe's rules and the keyboard."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.support.size import sized

LOOKS = sized(
    [("light", "desk"), ("dark", "phone")], [(scheme, size) for scheme in ("light", "dark") for size in ("desk", "phone")]
)
"""Colour scheme and size of the screen."""


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def reach(page: Page, text: str, *, by: str = "button", back: bool = False) -> None:
    """Press Tab until the element has the focus; every stop on the way can be seen."""
    page.wait_for_load_state()  # a page without its styles or its end has fewer stops
    wanted = page.locator(by).filter(has_text=text).first
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement.id") == "content"
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{text} cannot be reached")
