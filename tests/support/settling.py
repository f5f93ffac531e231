"""Pages at rest: loaded, without open requests, drawn."""

from typing import Final

from playwright.sync_api import Page

from tests.support.waiting import eventually

COUNT_FETCHES: Final = """
window.openFetches = 0;
const send = window.fetch;
window.fetch = (...about) => { window.openFetches += 1; return send(...about).finally(() => { window.openFetches -= 1; }); };
"""
"""An init script; pages that have it are at rest only when their scripts have their answers."""

QUICK_PERIODS: Final = """
const quickly = (start) => (act, delay, ...rest) => start(act, delay < 10_000 ? delay : delay / 10, ...rest);
window.setTimeout = quickly(window.setTimeout.bind(window));
window.setInterval = quickly(window.setInterval.bind(window));
"""
"""An init script that shortens timers of 10 s and more to a tenth: pages poll every 1.5 s instead of every 15 s."""

_AT_REST = "document.readyState === 'complete' && !window.openFetches"
_TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def settle(page: Page) -> None:
    """Return once the scripts of the page have run, their requests are answered, and the result is drawn."""
    eventually(lambda: page.evaluate(_AT_REST))
    page.evaluate(_TWO_FRAMES)
