"""Everything that can be done to a job on its page; and large models on it."""

import httpx
from playwright.sync_api import expect

from service.commands.output import note
from service.database import Database
from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.dashboard_jobs import finished_job
from tests.support.page_jobs import BODY
from tests.support.tiny_model import save_model


def test_every_action_of_a_job_is_done_on_its_page(opened: Opening, api: httpx.Client, settings: Settings) -> None:
    save_model(settings.model_root / "tiny")
    job = api.post("/v1/jobs", json=BODY).json()["id"]
    page = opened(f"/jobs/{job}")
    headline = page.locator("#status .headline")
    for action, state in (("Pause", "paused"), ("Resume", "queued"), ("Cancel", "cancelled")):
        page.get_by_role("button", name=action, exact=True).click()
        if action == "Cancel":
            page.get_by_role("button", name="Cancel the job").click()
        expect(headline).to_contain_text(state)
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url(lambda address: "/jobs/" in address and job not in address)
    page.get_by_role("link", name=f"job {job}").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it as it is").click()
    expect(headline).to_contain_text("cancelled")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the job").click()
    page.wait_for_url("**/jobs")
    expect(page.locator(".jobs tbody tr")).to_have_count(1)


def test_how_long_the_charts_of_126_blocks_keep_the_browser(opened: Opening, database: Database) -> None:
    """Told, not judged: how fast this machine is just now decides."""
    page = opened(f"/jobs/{finished_job(database, blocks=126)}")
    expect(page.locator("#heat-chart .cell")).to_have_count(126 * 7)
    drawing, tasks = page.evaluate(
        """async () => {
        const tasks = [];
        const noted = (list) => tasks.push(...list.getEntries().map((each) => each.duration));
        new PerformanceObserver(noted).observe({ type: "longtask", buffered: true });
        const choice = document.getElementById("measure"), took = [];
        for (const measure of ["error", "swaps", "sparsity"]) {
          const began = performance.now();
          choice.value = measure;
          choice.dispatchEvent(new Event("change"));
          document.body.getBoundingClientRect();
          took.push(performance.now() - began);
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
        return [took, tasks];
        }"""
    )
    note(f"126 blocks: drawn in {max(drawing):.0f} ms at the most; long tasks: {[round(each) for each in tasks] or 'none'}")
    assert len(drawing) == 3
