"""People look after triggers: described with a form, tried and fired, their events read and replayed."""

import json
import shlex
import subprocess

import httpx
import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from service.settings import Settings
from tests.browser.conftest import Opening
from tests.support.accessibility import LOOKS, reach, violations
from tests.support.dashboard_jobs import HOSTILE
from tests.support.settling import settle
from tests.support.trigger_events import PLAIN
from tests.support.triggers import create, fire, jobs
from tests.support.waiting import CEILING_SECONDS


@pytest.fixture
def secret_key() -> SecretStr | None:
    """What secrets are derived from; a test may say that there is none."""
    return SecretStr("a secret of the tests, which is long enough")


@pytest.fixture
def settings(settings: Settings, secret_key: SecretStr | None) -> Settings:
    return settings.model_copy(update={"secret_key": secret_key})


def test_a_trigger_is_created_tested_fired_and_replayed(opened: Opening, api: httpx.Client) -> None:
    page = opened("/triggers", excused="the server responded with a status of 422")
    expect(page.locator("#list")).to_contain_text("There are no triggers yet")
    page.get_by_role("link", name="New trigger").click()
    page.get_by_label("Name").fill("prune what is registered")
    page.get_by_label("Accepts").select_option("json")
    page.get_by_label("Filter").fill("data.stage == 'prod'")
    page.get_by_role("button", name="Create trigger").click()
    expect(page.get_by_text("shown only once")).to_be_visible()
    secret = page.locator("#secret-value").input_value()
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="I have copied it").click()
    page.wait_for_url(lambda address: "new" not in address)
    expect(page.locator("h1")).to_have_text("prune what is registered")
    assert secret not in page.content()

    event = page.get_by_label("Event", exact=True)
    event.fill('{"id": "run-1", "model": ')
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator("#fire .error")).to_contain_text("is not valid JSON")
    event.fill('{"id": "run-1", "model": "org/a"}')
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator("#fired")).to_contain_text("The filter drops this event")
    event.fill('{"id": "run-1", "model": "org/a", "stage": "prod"}')
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator("#fired pre")).to_contain_text('"id": "org/a"')
    assert jobs(api) == []
    page.get_by_role("button", name="Fire", exact=True).dblclick()
    expect(page.locator("#firings .state.fired")).to_have_count(1)
    page.get_by_role("button", name="Fire", exact=True).click()
    expect(page.locator("#fired")).to_contain_text("The same event has already started job")
    expect(page.locator("#firings .state.duplicate").first).to_be_visible()
    assert len(jobs(api)) == 1
    event.fill('{"id": "run-2", "model": "../etc", "stage": "prod"}')
    page.get_by_role("button", name="Fire", exact=True).click()
    expect(page.locator("#fired .error")).to_contain_text("/model/id")
    expect(page.locator("#firings")).to_contain_text("the template filled with the event is not a valid job")

    page.locator("#firings tr", has=page.locator(".state.fired")).get_by_role("button", name="Replay").click()
    expect(page.locator("#firings .state.fired")).to_have_count(2)
    assert [job["spec"]["model"]["id"] for job in jobs(api)] == ["org/a", "org/a"]
    page.locator("#firings tbody tr").first.get_by_role("link", name="run-1").click()
    expect(page.locator("main")).to_contain_text("Replay of")
    assert json.loads(page.locator("pre").inner_text())["data"]["model"] == "org/a"
    page.go_back()
    page.locator("#firings").get_by_role("link", name="job", exact=True).first.click()
    expect(page.locator("h1")).to_contain_text("org/a")


@pytest.mark.parametrize("proof", ["an API key", "the trigger’s secret"])
def test_the_displayed_command_fires_the_trigger(
    opened: Opening, api: httpx.Client, key: str, monkeypatch: pytest.MonkeyPatch, proof: str
) -> None:
    made = create(api)
    page = opened(f"/triggers/{made['id']}")
    page.get_by_label("Event", exact=True).fill('{"model": "org/a", "id": "it\'s $(exit)"}')
    page.get_by_role("button", name=proof).click()
    page.get_by_role("button", name="Copy").last.click()
    expect(page.locator("#copied")).to_contain_text("cop")
    monkeypatch.setenv("DSNOT_API_KEY", key)
    monkeypatch.setenv("TRIGGER_SECRET", made["secret"])
    command = page.locator("#curl").inner_text()
    assert shlex.split(command)[0] == "curl"
    answer = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True, timeout=CEILING_SECONDS)
    assert json.loads(answer.stdout)["outcome"] == "fired"
    expect(page.locator("#firings tbody tr")).to_contain_text("it's $(exit)")


def test_an_invalid_template_is_kept_and_its_error_shown(opened: Opening, api: httpx.Client) -> None:
    page = opened("/triggers/new", excused="the server responded with a status of 422")
    template = page.get_by_label("Template")
    page.get_by_label("Name").fill("t")
    template.fill('{"model": {"id": "org/a"},}')
    page.get_by_role("button", name="Create trigger").click()
    beside = page.locator(".field", has=template).locator(".error")
    expect(beside).to_contain_text("is not valid JSON")
    expect(template).to_be_focused()
    wrong = '{"model": {"id": "${{ data. }}"}}'
    template.fill(wrong)
    page.get_by_role("button", name="Create trigger").click()
    expect(beside).to_contain_text("/model/id: ")
    expect(beside).to_contain_text("is not a valid JMESPath expression")
    template.fill('{"model": {"id": "${{ data.model }}"}, "recipe": {"pattern": {"type": "unstructured", "sparsity": 7}}}')
    page.get_by_label("Filter").fill("data.[")
    page.get_by_role("button", name="Create trigger").click()
    expect(beside).to_contain_text("/recipe/pattern")
    template.fill('{"model": {"id": "${{ data.model }}"}}')
    page.get_by_role("button", name="Create trigger").click()
    expect(page.get_by_label("Filter")).to_have_attribute("aria-invalid", "true")
    page.reload()
    expect(page.locator("#restored")).to_be_visible()
    expect(page.get_by_label("Filter")).to_have_value("data.[")
    expect(page.get_by_label("Name")).to_have_value("t")
    assert api.get("/v1/triggers").json()["items"] == []


def test_a_template_is_suggested_by_kind_until_one_is_edited(opened: Opening) -> None:
    page = opened("/triggers/new")
    template = page.get_by_label("Template")
    page.get_by_label("Accepts").select_option("huggingface")
    assert "data.repo.name" in template.input_value()
    template.fill('{"model": {"id": "org/a"}}')
    page.get_by_label("Accepts").select_option("mlflow")
    expect(template).to_have_value('{"model": {"id": "org/a"}}')


@pytest.mark.parametrize("source", ["any", "cloudevents", "huggingface", "mlflow", "json"])
def test_the_suggested_template_and_event_create_a_job(opened: Opening, source: str) -> None:
    page = opened("/triggers/new")
    page.get_by_label("Name").fill("t")
    page.get_by_label("Accepts").select_option(source)
    page.get_by_role("button", name="Create trigger").click()
    page.get_by_role("link", name="I have copied it").click()
    page.wait_for_url(lambda address: "new" not in address)
    page.get_by_role("button", name="Fire", exact=True).click()
    expect(page.locator("#firings .state.fired")).to_have_count(1)
    expect(page.locator("#firings tbody tr")).to_contain_text("json" if source == "any" else source)


def test_a_trigger_is_edited_disabled_rotated_and_deleted(opened: Opening, api: httpx.Client) -> None:
    made = create(api, filter="data.model", description="ours")
    fire(api, made, PLAIN)
    page = opened(f"/triggers/{made['id']}")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Filter").fill("")
    page.get_by_label("Template").fill('{"model": {"id": "org/fixed"}}')
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(lambda address: "edit" not in address)
    expect(page.locator("#status")).to_contain_text("every event starts a job")
    changed = api.get(f"/v1/triggers/{made['id']}").json()
    assert (changed["filter"], changed["template"], changed["description"]) == (None, {"model": {"id": "org/fixed"}}, "ours")

    page.get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Disable it").click()
    expect(page.locator("#status .state.disabled")).to_be_visible()
    expect(page.get_by_role("button", name="Replay")).to_have_count(0)
    assert fire(api, made, PLAIN).status_code == 409
    page.get_by_role("button", name="Enable").click()
    expect(page.locator("#status .state.enabled")).to_be_visible()

    page.get_by_role("button", name="Rotate secret").click()
    expect(page.locator("#secret-overlap")).to_contain_text("The previous secret stays valid until")
    expect(page.locator("#overlap")).to_contain_text("the previous secret are valid until")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the trigger").click()
    page.wait_for_url("**/triggers")
    assert api.get("/v1/triggers").json()["items"] == []


def test_the_event_log_is_filtered_paged_and_updated_live(opened: Opening, api: httpx.Client) -> None:
    made = create(api, filter="data.model == 'org/a'")
    for number in range(55):
        fire(api, made, {"id": f"run-{number}", "model": "org/b"})
    page = opened(f"/triggers/{made['id']}")
    rows = page.locator("#firings tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(5)
    page.get_by_label("Outcome").select_option("fired")
    expect(page.locator("#firings")).to_contain_text("No events with this outcome")
    fire(api, made, {"id": "run-a", "model": "org/a"})
    expect(rows).to_have_count(1)


@pytest.mark.parametrize("secret_key", [None])
def test_without_a_secret_key_triggers_accept_api_keys_only(opened: Opening, api: httpx.Client) -> None:
    made = create(api)
    assert made["secret"] is None
    page = opened("/triggers/new", excused="the server responded with a status of 503")
    page.get_by_label("Name").fill("t")
    page.get_by_role("button", name="Create trigger").click()
    expect(page.locator("h1")).to_have_text("t")
    page.get_by_role("button", name="Rotate secret").click()
    expect(page.locator("#failure")).to_contain_text("DSNOT_SECRET_KEY")


def test_a_trigger_is_created_and_fired_with_the_keyboard_alone(opened: Opening, api: httpx.Client) -> None:
    page = opened("/triggers/new")
    reach(page, "", by="#f-name")
    page.keyboard.type("typed")
    reach(page, "Create trigger")
    page.keyboard.press("Enter")
    expect(page.locator("#secret")).to_be_focused()
    reach(page, "I have copied it", by="a")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda address: "new" not in address)
    reach(page, "", by="#fire-now")
    page.keyboard.press("Enter")
    expect(page.locator("#firings tbody tr")).to_have_count(1)
    assert [job["spec"]["model"]["id"] for job in jobs(api)] == ["facebook/opt-125m"]


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_trigger_pages_are_accessible_and_execute_no_markup(
    opened: Opening, url: str, api: httpx.Client, size: str, scheme: str
) -> None:
    made = create(api, name=HOSTILE, description=HOSTILE, filter="event.id != '<script>alert(1)</script>'")
    fire(api, made, {"id": HOSTILE * 2, "model": HOSTILE})
    fire(api, made, PLAIN)
    fire(api, made, PLAIN)
    here = f"/triggers/{made['id']}"
    firings = [each["id"] for each in api.get(f"/v1{here}/firings").json()["items"]]
    page = opened("/triggers", size=size, scheme=scheme)
    for path in ("/triggers", "/triggers/new", here, f"{here}/edit", *(f"{here}/firings/{each}" for each in firings)):
        page.goto(f"{url}{path}")
        settle(page)
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.locator("h1").count() == 1
    page.goto(f"{url}{here}")
    page.get_by_label("Event", exact=True).fill('{"model": "org/a"}')
    page.get_by_role("button", name="Dry run").click()
    page.get_by_text("Job template").click()
    expect(page.locator("#fired pre")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
