"""People look at workers, and bring and remove data sets of their own."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Opening
from tests.support.accessibility import violations


def test_a_data_set_is_uploaded_and_removed(opened: Opening, tmp_path: Path) -> None:
    text = tmp_path / "tickets.txt"
    text.write_text("The first document.\n\nThe second.\n")
    page = opened("/datasets", size="phone")
    page.get_by_label("File").set_input_files(text)
    page.get_by_label("Name").fill("<b>tickets</b>")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#uploads tbody th bdi")).to_have_text("<b>tickets</b>")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Delete <b>tickets").click()
    page.get_by_role("button", name="Delete the data set").click()
    expect(page.locator("#uploads")).to_contain_text("None yet")


def test_the_page_states_that_no_worker_is_registered(opened: Opening) -> None:
    page = opened("/workers", scheme="dark")
    expect(page.locator("#workers")).to_contain_text("No worker has been seen for a day")
    assert violations(page) == []
