"""People watch jobs: what happens is on the screen without a reload, also after the connection was lost."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from playwright.sync_api import Page, expect

from service.contract.states import EventType, JobState, Stage
from service.database.engine import Database
from service.jobs.attempts import repository as attempts
from service.jobs.events import repository as events
from service.settings import Settings
from service.tenants.sessions.operations import close_all
from tests.browser.conftest import Opening
from tests.support.api_server import insert_job, set_job
from tests.support.cut_line import line_to
from tests.support.dashboard_jobs import HOSTILE, add_blocks, finished_job, many_jobs
from tests.support.page_jobs import BODY, is_unbroken, mark
from tests.support.settling import settle
from tests.support.threads import worker_thread
from tests.support.tiny_model import save_model
from tests.support.waiting import eventually


def test_a_job_is_watched_to_its_end(opened: Opening, api: httpx.Client, settings: Settings, tmp_path: Path) -> None:
    save_model(settings.model_root / "tiny", layers=6)
    job = api.post("/v1/jobs", json=BODY).json()["id"]
    page = opened(f"/jobs/{job}/layers")
    mark(page)
    expect(page.locator("#status .headline")).to_contain_text("queued")
    expect(page.locator("#charts")).to_be_hidden()
    with worker_thread(settings):
        expect(page.locator("#status .headline")).to_contain_text("succeeded")
    expect(page.locator("#heat-chart .cell")).to_have_count(6 * 7)
    expect(page.locator("#errors-chart circle")).to_have_count(2 * 6)
    expect(page.locator("#memory-chart .line.host circle")).to_have_count(6)
    page.locator("#memory-chart svg").focus()
    page.keyboard.press("Home")
    expect(page.locator("#memory-chart .card-of")).to_have_text(re.compile(r"^Block 0host[0-9.]+ [MG]B$"))
    expect(page.locator("#actions button")).to_have_text(["Delete"])
    expect(page.locator("#status .figures")).to_contain_text("Perplexity, wiki-sample")
    assert is_unbroken(page)
    tabs = page.get_by_role("navigation", name="Parts of this job")
    tabs.get_by_role("link", name="Overview").click()
    expect(page.locator("#metrics")).to_contain_text("Perplexity, wiki-sample")
    expect(page.locator("#courses .stages li")).to_have_count(5)
    tabs.get_by_role("link", name="Events").click()
    expect(page.locator("#events tbody tr").first).to_contain_text("succeeded")
    page.get_by_role("link", name="Download", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="sparsity_report.json").click()
    listed = {file["path"]: file["bytes"] for file in api.get(f"/v1/jobs/{job}/artifacts").json()["files"]}
    assert Path(download.value.path()).stat().st_size == listed["sparsity_report.json"]


def test_two_viewers_see_a_cancellation_by_one_of_them(opened: Opening, database: Database) -> None:
    job = insert_job(database)
    one, other = opened(f"/jobs/{job}"), opened(f"/jobs/{job}")
    mark(other)
    one.get_by_role("button", name="Cancel").click()
    one.keyboard.press("Escape")
    expect(one.get_by_role("dialog")).to_be_hidden()
    expect(one.locator("#status .headline")).to_contain_text("queued")
    one.get_by_role("button", name="Cancel").click()
    one.get_by_role("button", name="Cancel the job").click()
    for page in (one, other):
        expect(page.locator("#status .headline")).to_contain_text("cancelled")
        expect(page.locator("#actions button")).to_have_text(["Retry", "Delete"])
    assert is_unbroken(other)


def test_the_stream_resumes_where_it_was_cut(opened: Opening, database: Database, url: str) -> None:
    job = insert_job(database, state=JobState.RUNNING, stage="pruning")
    with line_to(url) as line:
        page = opened(f"/jobs/{job}/layers", at=line.url, excused="net::ERR")
        mark(page)
        tell(database, job, 0)
        expect(page.locator("#heat-chart .cell")).to_have_count(7)
        line.cut()
        expect(page.locator("#connection")).to_contain_text("Connection lost")
        tell(database, job, 1)
        tell(database, job, 2)
        line.mend()
        expect(page.locator("#connection")).to_be_hidden()
        expect(page.locator("#heat-chart .cell")).to_have_count(3 * 7)
        assert is_unbroken(page)


def tell(database: Database, job: UUID, block: int) -> None:
    """A worker's word on one more block."""
    add_blocks(database, job, range(block, block + 1))
    set_job(database, job, progress={"done": block + 1, "total": 30, "unit": "blocks"})
    with database.begin() as session:
        events.append(session, job, EventType.BLOCK_PRUNED, {"block": block, "total": 30})


AS_RENDERED = """async () => {
  const page = new DOMParser().parseFromString(await (await fetch(location.href + "?again")).text(), "text/html");
  const found = (root) => root.querySelector("#status .progress");
  return found(page).isEqualNode(found(document)) && page.title === document.title;
}"""


def test_progress_moves_bar_text_and_title_without_loading_the_page(opened: Opening, database: Database) -> None:
    job = insert_job(database, state=JobState.RUNNING, stage=Stage.PRUNING, name="1/30 of the data")
    page = opened(f"/jobs/{job}")
    with page.expect_response(lambda response: response.url.endswith(f"/jobs/{job}")):  # the stream is open
        tell(database, job, 0)
    settle(page)
    loads: list[str] = []
    page.on("request", lambda request: loads.append(request.url) if request.url.endswith(f"/jobs/{job}") else None)
    text = page.locator("#status .progress")
    for done, within, shown in (
        (1029, {"matrices_done": 2, "matrices_total": 7}, ", 2 of 7 matrices of the next"),
        (1030, {}, ""),
    ):
        report(database, job, {"done": done, "total": 12_000, "unit": "blocks", **within})
        expect(text).to_have_text(f"pruning: {done:,} of 12,000 blocks{shown}")
        expect(page.get_by_role("progressbar", name="pruning")).to_have_js_property("position", done / 12_000)
        expect(page).to_have_title(f"{done}/12000 1/30 of the data, running – DSnoT")
        assert page.evaluate(AS_RENDERED), "equal to what the server renders"
    assert loads == []


def test_the_first_report_of_a_stage_brings_the_bar(opened: Opening, database: Database) -> None:
    job = insert_job(database, state=JobState.RUNNING, stage=Stage.LOADING)
    page = opened(f"/jobs/{job}")
    mark(page)
    expect(page.locator("#status")).to_contain_text("loading")
    eventually(lambda: reported(page, database, job))
    assert is_unbroken(page)


def reported(page: Page, database: Database, job: UUID) -> bool:
    """Report until the page, whose stream may not be open yet, has the bar."""
    report(database, job, {"done": 1, "total": 4, "unit": "files"})
    page.wait_for_timeout(100)
    return page.get_by_role("progressbar").is_visible()


def report(database: Database, job: UUID, progress: dict[str, Any]) -> None:
    """Report progress as a worker does, without an event."""
    with database.begin() as session:
        attempts.progress(session, job, 0, progress)


def test_an_open_job_page_shows_the_deletion_of_its_job(opened: Opening, database: Database, api: httpx.Client) -> None:
    job = insert_job(database, state=JobState.PAUSED)
    page = opened(f"/jobs/{job}", excused="404")
    assert api.post(f"/v1/jobs/{job}/cancel").status_code == 200
    assert api.delete(f"/v1/jobs/{job}").status_code == 204
    expect(page.locator("#connection")).to_contain_text("This job has been deleted")
    expect(page.locator("h1")).to_contain_text("facebook/opt-125m")


def test_an_expired_session_leads_to_sign_in_and_back(opened: Opening, database: Database, key: str) -> None:
    job = insert_job(database, state=JobState.RUNNING)
    page = opened(f"/jobs/{job}", excused="401")
    close_all(database, key.split("_")[1])
    expect(page.locator("#connection")).to_contain_text("You are signed out")
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{job}")


def test_several_jobs_are_cancelled_at_once_and_the_list_updates(opened: Opening, database: Database) -> None:
    jobs = [insert_job(database) for _ in range(6)]
    insert_job(database, state=JobState.SUCCEEDED)
    page = opened("/jobs")
    mark(page)
    page.get_by_label("Select all jobs").check()
    expect(page.locator("#selection")).to_have_text("7 selected")
    set_job(database, insert_job(database, model="org/earlier"), state=JobState.PAUSED)
    expect(page.locator(".jobs .state.paused")).to_have_count(1)  # the list has been read again
    expect(page.locator("#selection")).to_have_text("7 selected")
    page.get_by_role("button", name="Cancel 6 of 7").click()
    page.get_by_role("button", name="Cancel these 6 jobs").click()
    expect(page.locator(".jobs .state.cancelled")).to_have_count(len(jobs))
    expect(page.locator("#said")).to_have_text("6 cancelled")
    expect(page.locator("#bulk")).to_be_hidden()
    set_job(database, insert_job(database, model="org/new"), state=JobState.RUNNING)
    expect(page.locator(".jobs .state.running")).to_have_count(1)
    assert is_unbroken(page)


def test_markup_in_names_and_labels_is_not_executed(opened: Opening, database: Database) -> None:
    job = finished_job(database, model=HOSTILE, labels={"team": HOSTILE})
    for path in ("/", "/jobs", *(f"/jobs/{job}{tab}" for tab in ("", "/layers", "/events", "/files", "/config"))):
        page = opened(path)
        expect(page.locator("h1")).to_be_visible()
        settle(page)


def test_a_tap_on_a_chart_of_a_phone_shows_a_card_that_stays(opened: Opening, database: Database) -> None:
    page = opened(f"/jobs/{finished_job(database)}/layers", size="phone")
    settle(page)  # a chart is drawn again when the next one changes the width of the page
    for name, target in (("errors", "svg"), ("heat", ".cell")):
        picture = page.locator(f"#{name}-chart svg").element_handle()
        page.locator(f"#{name}-chart {target}").first.click()
        settle(page)
        assert picture.evaluate("svg => svg.isConnected"), f"the height of the card draws the chart {name} again"
        expect(page.locator(f"#{name}-chart .card-of")).to_be_visible()


def test_a_new_block_leaves_focus_and_place_in_the_charts(opened: Opening, database: Database) -> None:
    job = insert_job(database, state=JobState.RUNNING, stage="pruning")
    add_blocks(database, job, range(2))
    page = opened(f"/jobs/{job}/layers")
    settle(page)  # the stream is open
    for block, (name, keys, head, fact) in enumerate(
        (("errors", "Home", "Block 0", "first mask"), ("heat", "ArrowDown ArrowRight", "self_attn.k_proj", "Block1Value")),
        start=2,
    ):
        page.locator(f"#{name}-chart svg").focus()
        for key in keys.split():
            page.keyboard.press(key)
        card = page.locator(f"#{name}-chart .card-of")
        expect(card.locator("strong")).to_have_text(head)
        tell(database, job, block)
        expect(page.locator("#heat-chart .cell")).to_have_count(7 * (block + 1))
        expect(page.locator(f"#{name}-chart svg")).to_be_focused()
        expect(card.locator("strong")).to_have_text(head)
        expect(card).to_contain_text(fact)


def test_charts_of_126_blocks_are_drawn_with_few_dom_changes(opened: Opening, database: Database) -> None:
    many_jobs(database, 10_000)
    page = opened(f"/jobs/{finished_job(database, blocks=126)}/layers")
    expect(page.locator("#heat-chart .cell")).to_have_count(126 * 7)
    changes = page.evaluate(
        """() => { const observer = new MutationObserver(() => {});
        observer.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
        const choice = document.getElementById("measure"); choice.value = "swaps"; choice.dispatchEvent(new Event("change"));
        return observer.takeRecords().length; }"""
    )
    assert 0 < changes < 4 * 126 * 7
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Jobs").click()
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".jobs tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("link", name="Newest")).to_be_hidden()
