"""The dashboard's pages by HTTP: what they show, what they let nobody smuggle in, and how much work they take."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.contract.devices import DeviceClass
from service.contract.scopes import Scope
from service.contract.states import JobState
from service.dashboard import assets
from service.database.engine import Database
from service.embedded.processes import free_port
from service.settings import Settings
from service.workers import repository as workers
from service.workers.repository import Identity, Usage
from tests.support.api_server import insert_job, key_for, serving
from tests.support.browsing import browser, sign_in
from tests.support.dashboard_jobs import HOSTILE, METRICS, SAMPLES, finished_job, many_jobs
from tests.support.html_pages import SCRIPTLESS, Parsed
from tests.support.job_examples import filled
from tests.support.statements import analyse, assert_bounded_work
from tests.support.tiny_model import save_model

SHA256 = "5" * 64


def pages(job_id: object) -> list[str]:
    lists = ["/jobs", "/sweeps", "/sweeps/new", "/models", "/datasets", "/workers", "/webhooks", "/triggers", "/keys", "/audit"]
    job = [f"/jobs/{job_id}{tab}" for tab in ("", "/layers", "/samples", "/events", "/files", "/config")]
    return ["/", *lists, "/jobs/new", *job, "/sign-in", f"/jobs/{uuid4()}", "/nowhere", "/docs", "/errors"]


def test_no_page_runs_or_loads_foreign_content(visitor: httpx.Client, database: Database) -> None:
    for path in pages(finished_job(database)):
        answer = visitor.get(path)
        assert answer.headers["content-security-policy"] == SCRIPTLESS
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        page = Parsed(answer.text)
        for tag, attributes in page.elements:
            assert not any(name.startswith("on") or name == "style" for name in attributes), (path, tag, attributes)
            for name in ("src", "href", "action"):
                assert (attributes.get(name) or "/").startswith(("/", "#")), (path, tag, attributes)
        assert all(script["src"] for script in page.all("script"))


def test_workers_show_their_gpu_or_why_they_use_none(visitor: httpx.Client, database: Database) -> None:
    gpu = {"cuda": "13.0", "driver": "580.65.06", "compute_capability": "9.0"}
    unused = {"device_problem": "the NVIDIA driver is too old"}
    with database.begin() as session:
        for name, device, facts in (("a:1", DeviceClass.GPU, gpu), ("b:1", DeviceClass.CPU, unused)):
            workers.started(session, Identity(name, "host", device, "a device", None, 1, facts), Usage(1, 1))
    page = visitor.get("/workers").text
    assert "compute capability 9.0" in page
    assert "580.65.06" in page
    assert "<strong>GPU not used</strong>: the NVIDIA driver is too old" in page


def test_names_are_always_rendered_as_text(visitor: httpx.Client, database: Database) -> None:
    error = {"code": "internal", "detail": HOSTILE, "retryable": True}
    job_id = finished_job(
        database,
        model=HOSTILE,
        labels={"team": HOSTILE},
        state=JobState.FAILED,
        error=error,
        metrics={**METRICS, "warnings": [HOSTILE]},
    )
    harmless = [len(Parsed(visitor.get(path).text).all("script")) for path in ("/", "/jobs", f"/jobs/{finished_job(database)}")]
    for path, scripts in zip(("/", "/jobs", f"/jobs/{job_id}"), harmless, strict=True):
        page = Parsed(visitor.get(path).text)
        assert len(page.all("script")) == scripts
        assert [image for image in page.all("img") if image["src"] == "x"] == []
    shown = Parsed(visitor.get(f"/jobs/{job_id}").text)
    assert shown.text.count(HOSTILE) >= 4
    fields = Parsed(visitor.get("/jobs", params={"model": HOSTILE}).text).all("input")
    assert [field["value"] for field in fields if field.get("name") == "model"] == [HOSTILE]


def test_the_overview_counts_the_tenants_objects(visitor: httpx.Client, database: Database) -> None:
    for state in (JobState.QUEUED, JobState.QUEUED, JobState.RUNNING):
        insert_job(database, state=state)
    insert_job(database, state=JobState.QUEUED, tenant="other", model="secret-model")
    finished_job(database)
    failed = finished_job(database, state=JobState.FAILED, error={"code": "disk-full", "detail": "", "retryable": True})
    page = Parsed(visitor.get("/").text)
    words = " ".join(page.text.split())
    assert "2 queued 1 running 0 pausing 0 paused 0 cancelling 1 succeeded 1 failed 0 cancelled 0 expired" in words
    assert "1 succeeded 1 failed, cancelled or expired" in words
    assert "The worker’s disk is full" in words or "The worker's disk is full" in words
    assert f"/jobs/{failed}" in [link.get("href") for link in page.all("a")]
    assert "secret-model" not in words


def test_a_changed_preset_is_shown_as_changed(visitor: httpx.Client, database: Database) -> None:
    job = finished_job(database, spec=filled(recipe={"preset": "balanced", "criterion": "ria"}))
    for path in ("/", f"/jobs/{job}"):
        assert "balanced, changed" in visitor.get(path).text, path


def test_an_overview_without_jobs_teaches_the_first_steps(visitor: httpx.Client, database: Database, settings: Settings) -> None:
    words = " ".join(Parsed(visitor.get("/").text).text.split())
    assert "Prune your first model" in words
    assert "dsnot up" in words
    assert "dsnot models import PATH" in words
    save_model(settings.model_root / "tiny")
    with database.begin() as session:
        workers.started(session, Identity("a:1", "host", DeviceClass.CPU, "a processor", None, 1, {}), Usage(1, 10**12))
    page = Parsed(visitor.get("/").text)
    assert "1 is online, the first on a processor" in " ".join(page.text.split())
    assert "/jobs/new?source=local&id=tiny" in [link.get("href") for link in page.all("a")]
    insert_job(database)
    assert "Prune your first model" not in visitor.get("/").text


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 3),
        ({"state": "queued"}, 2),
        ({"state": ["queued", "failed"]}, 3),
        ({"model": "org/a"}, 1),
        ({"model": " org/a "}, 1),
        ({"label": "team=search"}, 1),
        ({"label": "team=search stage=x"}, 0),
        ({"model": "org/unknown"}, 0),
    ],
)
def test_jobs_are_filtered_like_their_export(
    visitor: httpx.Client, database: Database, query: dict[str, Any], count: int
) -> None:
    insert_job(database, model="org/a", labels={"team": "search"})
    insert_job(database, model="org/b")
    insert_job(database, model="org/b", state=JobState.FAILED, error={"code": "internal", "detail": "x", "retryable": True})
    page = Parsed(visitor.get("/jobs", params=query).text)
    assert len([link for link in page.all("a") if str(link.get("id", "")).startswith("open-")]) == count
    rows = list(csv.DictReader(io.StringIO(visitor.get("/jobs.csv", params=query).text)))
    assert len(rows) == count


def test_an_invalid_filter_is_kept_and_explained(visitor: httpx.Client) -> None:
    answer = visitor.get("/jobs", params={"label": "team", "model": "org/a", "state": "busy"})
    assert answer.status_code == 422
    assert 'value="team"' in answer.text
    assert 'value="org/a"' in answer.text
    assert "label takes name=value pairs" in answer.text
    assert "there is no state &#39;busy&#39;" in answer.text
    assert visitor.get("/jobs", params={"cursor": "nonsense"}).status_code == 422


def test_csv_values_are_never_read_as_formulas(visitor: httpx.Client, database: Database) -> None:
    insert_job(database, model='=HYPERLINK("https://evil.example")', labels={"a": 'b,\n"c'})
    answer = visitor.get("/jobs.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="jobs.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["model"] == '\'=HYPERLINK("https://evil.example")'
    assert row["labels"] == 'a=b,\n"c'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("a; @SUM(1)", "a;' @SUM(1)"),
        ("\N{FULLWIDTH EQUALS SIGN}1+1", "'\N{FULLWIDTH EQUALS SIGN}1+1"),
        ("b\n-2+3", "b\n'-2+3"),
        ("a;b=c, d-e+f", "a;b=c, d-e+f"),
    ],
)
def test_csv_values_begin_no_formula_in_any_locale(visitor: httpx.Client, database: Database, text: str, shown: str) -> None:
    insert_job(database, model=text)
    (row,) = csv.DictReader(io.StringIO(visitor.get("/jobs.csv").text, newline=""))
    assert row["model"] == shown


def test_a_job_shows_its_metrics_course_and_events(visitor: httpx.Client, database: Database) -> None:
    job_id = finished_job(database)
    words = " ".join(Parsed(visitor.get(f"/jobs/{job_id}").text).text.split())
    for part in (
        "14.45 (13.90 to 15.00)", "25.45 (24.40 to 26.50)", "× 1.762", "+0.567 (0.547 to 0.586)", "61.0 ± 3.0 %",
        "-6.0 points", "64.1 ± 0.4 %", "0.412 ± 0.0100", "The text is short", "893 MB above an idle worker",
        "Attempt 1 on gpu-7:4711", "publishing",
    ):  # fmt: skip
        assert part in words, part
    events = f"/jobs/{job_id}/events"
    all_types, only = (Parsed(visitor.get(events, params=query).text) for query in ({}, {"event": "succeeded"}))
    listed, kept = (" ".join(each.text.split()).rpartition("Details")[2] for each in (all_types, only))
    assert "stage started" in listed
    assert "stage started" not in kept


def test_a_finished_job_begins_with_its_verdict(visitor: httpx.Client, database: Database) -> None:
    measured = METRICS["pruned"]["perplexity"][0]
    better = finished_job(database, metrics={**METRICS, "pruned": {"perplexity": [{**measured, "perplexity": 17.3}]}})
    of_other_text = {**measured, "dataset": "c4-sample", "perplexity": 15.0}
    finished_job(database, metrics={**METRICS, "pruned": {"perplexity": [of_other_text]}})
    finished_job(database, tenant="other", metrics={**METRICS, "pruned": {"perplexity": [{**measured, "perplexity": 15.0}]}})
    page = Parsed(visitor.get(f"/jobs/{finished_job(database)}").text)
    words = " ".join(page.text.split())
    assert words.index("Severe loss") < words.index("14.45 → 25.45 × 1.76 (1.73 to 1.80)") < words.index("Conditions")
    assert "Lower perplexity at 50 % on this model: balanced, × 1.2" in words
    assert f"/jobs/{better}" in [link.get("href") for link in page.all("a")]
    assert "Lower perplexity" not in Parsed(visitor.get(f"/jobs/{better}").text).text


def test_tabs_without_content_are_not_offered(visitor: httpx.Client, database: Database) -> None:
    def tabs(job_id: object) -> list[str]:
        links = Parsed(visitor.get(f"/jobs/{job_id}").text).all("a")
        return [str(link["id"]).removeprefix("tab-") for link in links if str(link.get("id", "")).startswith("tab-")]

    assert tabs(insert_job(database)) == ["overview", "logs", "events", "config"]
    assert tabs(finished_job(database, state=JobState.FAILED)) == ["overview", "layers", "samples", "logs", "events", "config"]
    assert tabs(finished_job(database)) == ["overview", "layers", "samples", "logs", "events", "files", "config"]
    assert visitor.get(f"/jobs/{insert_job(database)}/nonsense").status_code == 404


def test_the_report_opens_in_the_browser_without_scripts(visitor: httpx.Client, database: Database, settings: Settings) -> None:
    content = b"<!doctype html><script>alert(1)</script>"
    job_id = artifact_with(database, settings, "report.html", content)
    answer = visitor.get(f"/jobs/{job_id}/report")
    assert answer.content == content
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    without = visitor.get(f"/jobs/{artifact_with(database, settings, 'README.md', b'#')}/report")
    assert without.status_code == 404
    assert "the artifact has no report" in without.text


def test_samples_mark_what_follows_the_first_difference(visitor: httpx.Client, database: Database) -> None:
    page = visitor.get(f"/jobs/{finished_job(database)}/samples").text
    words = " ".join(Parsed(page).text.split())
    assert "1 of 2 continuations are identical; 70 % of the tokens come before the first difference" in words
    assert "heats the water in a [different from here:] river or lake" in words
    assert "heats the water in a [different from here:] bottle" in words
    assert "Token 7 is the first that differs: 40 % of the tokens come before it." in words
    assert page.count("<mark>") == 2, "equal continuations have no mark"
    without = f"/jobs/{finished_job(database, metrics={'samples': None})}"
    assert "/samples" not in visitor.get(without).text
    assert "No samples were generated." in visitor.get(f"{without}/samples").text


def test_texts_of_samples_are_never_markup(visitor: httpx.Client, database: Database) -> None:
    sample = SAMPLES["continuations"][0] | {"prompt": HOSTILE}
    hostile = SAMPLES | {"continuations": [sample | {"pruned": sample["pruned"] | {"text": HOSTILE}}]}
    page = Parsed(visitor.get(f"/jobs/{finished_job(database, metrics={'samples': hostile})}/samples").text)
    assert HOSTILE in page.text
    assert not [attributes for attributes in page.all("img") if "onerror" in attributes]
    assert all("src" in attributes for attributes in page.all("script"))


@pytest.mark.parametrize(
    "metrics", [None, {}, {"dense": None}, {"pruned": {"perplexity": [{"dataset": "x"}]}}, {"agreement": [{}], "speed": {}}]
)
def test_a_job_page_renders_with_any_metric_missing(visitor: httpx.Client, database: Database, metrics: Any) -> None:
    assert visitor.get(f"/jobs/{finished_job(database, metrics=metrics)}").status_code == 200


def test_files_are_listed_with_checksums_and_downloadable(visitor: httpx.Client, database: Database, settings: Settings) -> None:
    content = b"# a model"
    page = Parsed(visitor.get(f"/jobs/{artifact_with(database, settings, 'README.md', content)}/files").text)
    assert SHA256 in page.text
    (link,) = [each["href"] for each in page.all("a") if each.get("id") == "file-1"]
    assert visitor.get(str(link)).content == content


def artifact_with(database: Database, settings: Settings, name: str, content: bytes) -> UUID:
    """A succeeded job whose artifact has one file."""
    prefix = f"jobs/{uuid4()}/1"
    job_id = insert_job(database, state=JobState.SUCCEEDED, artifact_prefix=prefix)
    folder = Path(settings.artifact_url.removeprefix("file://")) / prefix
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    manifest = {"job_id": str(job_id), "fence": 1, "files": [{"path": name, "bytes": len(content), "sha256": SHA256}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return job_id


def test_actions_beyond_the_keys_scopes_are_not_offered(url: str, database: Database) -> None:
    job_id = insert_job(database)
    with browser(url) as reader:
        sign_in(reader, key_for(database, Scope.JOBS_READ))
        page, jobs = Parsed(reader.get(f"/jobs/{job_id}").text), reader.get("/jobs").text
        files, report = (reader.get(f"/jobs/{finished_job(database)}/{tab}") for tab in ("files", "report"))
        datasets, form = Parsed(reader.get("/datasets").text), reader.get("/jobs/new")
    assert [button for button in page.all("button") if "data-action" in button] == []
    assert [answer.status_code for answer in (files, report)] == [403, 403]
    assert "cancel-selected" not in jobs
    assert "data-cancellable" not in jobs  # picked to be compared, which only reads
    assert [each for each in (*Parsed(jobs).all("a"), *page.all("a")) if "/jobs/new" in str(each.get("href"))] == []
    assert [each for each in datasets.all("form") if each.get("id") == "upload"] == []
    assert form.status_code == 403


@pytest.mark.parametrize(
    ("state", "actions"),
    [
        (JobState.QUEUED, ["pause", "cancel"]),
        (JobState.RUNNING, ["pause", "cancel"]),
        (JobState.PAUSED, ["resume", "cancel"]),
        (JobState.CANCELLING, []),
        (JobState.SUCCEEDED, ["delete"]),
        (JobState.FAILED, ["retry", "delete"]),
        (JobState.EXPIRED, ["retry", "delete"]),
    ],
)
def test_only_actions_allowed_by_the_state_are_offered(
    visitor: httpx.Client, database: Database, state: JobState, actions: list[str]
) -> None:
    page = Parsed(visitor.get(f"/jobs/{insert_job(database, state=state)}").text)
    assert [button["data-action"] for button in page.all("button") if "data-action" in button] == actions


@pytest.mark.parametrize("path", ["/jobs/0b8f1c1e-54a5-4c8e-9b39-0d3f0e7f4a11", "/jobs/nonsense", "/nowhere"])
def test_not_found_is_a_page_for_browsers_else_a_problem(visitor: httpx.Client, path: str) -> None:
    page = visitor.get(path)
    assert page.status_code == 404
    assert "Not found" in page.text
    other = visitor.get(path, headers={"Accept": "application/json"})
    assert (other.status_code, other.headers["content-type"]) == (404, "application/problem+json")


def test_during_a_database_outage_a_page_says_it_is_temporary(visitor: httpx.Client, settings: Settings) -> None:
    away = {"database_url": type(settings.database_url)(f"postgresql://u:p4ssw0rd@127.0.0.1:{free_port()}/d")}
    with serving(settings.model_copy(update=away)) as url:
        page = visitor.get(f"{url}/jobs")
    assert page.status_code == 503
    assert "Temporarily unavailable" in page.text
    assert "load the page again" in page.text
    assert "p4ssw0rd" not in page.text
    assert int(page.headers["retry-after"]) > 0


def test_an_unexpected_error_is_a_page_with_the_logged_id(visitor: httpx.Client, database: Database) -> None:
    job_id = insert_job(database, spec={"written": "by a version of another mind"})
    page = visitor.get(f"/jobs/{job_id}", headers={"X-Request-ID": "look-for-me"})
    assert page.status_code == 500
    assert page.headers["content-security-policy"] == SCRIPTLESS
    assert "look-for-me" in page.text
    assert [visitor.get(path).status_code for path in ("/", "/jobs", "/jobs.csv")] == [
        200,
        200,
        200,
    ]  # lists are not lost with it


def test_static_files_are_cached_under_content_addresses(visitor: httpx.Client) -> None:
    for link in Parsed(visitor.get("/jobs").text).all("script"):
        answer = visitor.get(str(link["src"]))
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].startswith("text/javascript")
    assert visitor.get("/static/of-another-version/jobs.js").headers["cache-control"] == "no-cache"
    assert visitor.get(f"/static/{assets.version()}/../endpoints.py").status_code == 404
    assert visitor.get(f"/static/{assets.version()}/secrets.js").status_code == 404


def test_pages_of_ten_thousand_jobs_take_few_queries_and_bytes(visitor: httpx.Client, database: Database) -> None:
    many_jobs(database, 10_000)
    job_id = finished_job(database, blocks=126)
    analyse(database)
    job_pages = [f"/jobs/{job_id}{tab}" for tab in ("", "/layers", "/samples", "/events", "/files", "/config")]
    for path in ("/", "/jobs", "/jobs?state=failed&model=org/model-3", "/jobs?label=team=team-3", *job_pages):
        more = 5 if path == "/" else 0  # for the time until the queue is empty
        assert_bounded_work(lambda: visitor.get(path), database, statements=20 + more)  # noqa: B023
        answer = visitor.get(path)
        assert answer.status_code == 200
        assert len(answer.content) < 300_000, path
    older = [link["href"] for link in Parsed(visitor.get("/jobs").text).all("a") if link.get("id") == "older"]
    assert len(set(Parsed(visitor.get(str(older[0])).text).text.split())) > 50
    assert len(visitor.get("/jobs.csv").text.splitlines()) == 10_002


def test_the_first_visit_loads_few_bytes() -> None:
    folder = Path(assets.__file__).parent / "static"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200_000
