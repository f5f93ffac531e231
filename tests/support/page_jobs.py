"""A small job for pages to show while a worker runs it, and marks that a reload would lose."""

from playwright.sync_api import Page

BODY = {
    "model": {"source": "local", "id": "tiny"},
    "recipe": {"refinement": {"method": "swaps"}},
    "calibration": {"dataset": "c4-sample:test", "num_samples": 4, "sequence_length": 64},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 64},
}


def mark(page: Page) -> None:
    """So that a reload would show."""
    page.evaluate("window.isStillTheSamePage = true")


def is_unbroken(page: Page) -> bool:
    return bool(page.evaluate("window.isStillTheSamePage === true"))
