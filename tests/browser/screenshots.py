"""`python -m tests.browser.screenshots`: the dashboard's pictures in docs/screenshots, taken of real jobs on the embedded stack.

A random Llama of twelve small blocks is pruned a few times, in seconds each: what the pages show has been measured, and says
nothing about models that have learnt something. Nothing is fetched from the network.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.cli.output import note
from service.client import Client, Job
from service.contract.states import JobState
from service.embedded.record import API_KEY_FILE
from tests.browser.conftest import CHROMIUM
from tests.support.embedded_stack import up
from tests.support.tiny_model import save_model

FOLDER: Final = Path(__file__).parents[2] / "docs" / "screenshots"
MOST_BYTES: Final = 300_000
MODEL: Final = "small-llama"
_JOB_SECONDS: Final = 300

_TEXT: Final[dict[str, Any]] = {
    "calibration": {"dataset": "c4-sample", "num_samples": 16, "sequence_length": 128},
    "evaluation": {"perplexity": ["wiki-sample"], "sequence_length": 128, "max_windows": 16},
}
_MUCH: Final[dict[str, Any]] = {"dataset": "c4-sample", "num_samples": 160, "sequence_length": 512}
_TOO_MUCH: Final[dict[str, Any]] = _MUCH | {"num_samples": 4096}
_RECIPES: Final = (("dsnot-paper", 0.5), ("dsnot-paper", 0.6), ("fast", 0.5), ("fast", 0.6))


def _body(preset: str, sparsity: float, **more: Any) -> dict[str, Any]:
    recipe = {"preset": preset, "pattern": {"type": "unstructured", "sparsity": sparsity}}
    return {"model": {"source": "local", "id": MODEL}, "recipe": recipe, **_TEXT, "labels": {"team": "search"}, **more}


@dataclass(frozen=True)
class Shot:
    """One picture: where the page is, and what is done on it before."""

    name: str
    address: Callable[[Sequence[Job]], str]
    prepare: Callable[[Page], None]
    height: int = 900


def _overview(page: Page) -> None:
    expect(page.locator("#under-way progress")).to_be_visible(timeout=60_000)


def _job(page: Page) -> None:
    expect(page.locator("#memory-chart circle").first).to_be_visible()


def _new_job(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill(MODEL)
    expect(page.locator("#plan")).to_contain_text("Memory")
    expect(page.locator("#inspection")).to_contain_text("blocks")


def _compare(page: Page) -> None:
    expect(page.locator("#points-chart a.point").first).to_be_visible()
    page.locator("#measures-title").evaluate("heading => heading.scrollIntoView()")


SHOTS: Final = (
    Shot("overview", lambda _: "/", _overview),
    Shot("job", lambda jobs: f"/jobs/{jobs[-1].id}/layers", _job, height=1100),
    Shot("new-job", lambda _: "/jobs/new", _new_job),
    Shot("compare", lambda jobs: "/compare?" + "&".join(f"ids={job.id}" for job in jobs), _compare, height=1300),
)


def main() -> int:
    if not CHROMIUM.exists():
        note(f"screenshots: {CHROMIUM} is missing; install Debian's chromium, or name another in DSNOT_CHROMIUM")
        return 1
    with tempfile.TemporaryDirectory(prefix="dsnot-") as folder, up(Path(folder)) as stack:
        save_model(stack.home / "models" / MODEL, layers=12, width=64)
        key = (stack.home / API_KEY_FILE).read_text().strip()
        with Client(stack.url, key) as client:
            client.jobs.create(_body("fast", 0.5, calibration=_TOO_MUCH))  # fails, and is shown under "Needs attention"
            jobs = _pruned(client)
            for sparsity in (0.5, 0.6, 0.7, 0.8):  # one runs while the pictures are taken, the others wait
                client.jobs.create(_body("best", sparsity, calibration=_MUCH))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            _take(browser, stack.url, key, jobs)
            browser.close()
    return 0


def _pruned(client: Client) -> list[Job]:
    made = [client.jobs.create(_body(preset, sparsity)) for preset, sparsity in _RECIPES]
    jobs = []
    for job in made:
        jobs.append(client.jobs.wait(job.id, timeout=_JOB_SECONDS))
        assert jobs[-1].state == JobState.SUCCEEDED, jobs[-1].error
        note(f"screenshots: job {len(jobs)} of {len(made)} has ended")
    return jobs


def _take(browser: Browser, url: str, key: str, jobs: Sequence[Job]) -> None:
    FOLDER.mkdir(exist_ok=True)
    context = browser.new_context(color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/")
    for shot in SHOTS:
        page.set_viewport_size({"width": 1440, "height": shot.height})
        page.goto(url + shot.address(jobs))
        shot.prepare(page)
        picture = FOLDER / f"{shot.name}.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size < MOST_BYTES, f"{picture} is too large"
        note(f"screenshots: {picture.relative_to(FOLDER.parents[1])}")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
