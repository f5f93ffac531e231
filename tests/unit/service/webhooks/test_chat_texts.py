"""Texts for chat services: what each message says, and that foreign text in it can neither format, link nor notify."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.spec import JobSpec
from service.contract.verdicts import judge
from service.contract.webhooks import TEST_EVENT, WebhookEvent
from service.database.tables.webhooks import Delivery
from service.webhooks.chat_texts import BestPoint, chat_body_of, code
from service.webhooks.messages import Subject
from tests.support.api_server import BODY
from tests.support.dashboard_jobs import METRICS

ID = UUID(int=7)
URL = "https://host/dsnot"


def text_of(delivery: Delivery, data: dict[str, Any], best: BestPoint | None = None, public_url: str | None = URL) -> str:
    subject = Subject(ID, "", data, datetime.now(UTC)) if data else None
    body = json.loads(chat_body_of(delivery, subject, best, public_url))
    assert body.keys() == {"text"}
    return str(body["text"])


def about_job(kind: str, public_url: str | None = URL, **values: Any) -> list[str]:
    """The lines of the message about an event of a job."""
    spec = JobSpec.model_validate(BODY).model_dump(mode="json")
    job = {"name": None, "spec": spec, "metrics": None, "error": None} | values
    return text_of(Delivery(type=kind, job_id=ID), {"job": job}, public_url=public_url).split("\n")


def about_sweep(kind: str, event: dict[str, Any] | None = None, best: BestPoint | None = None, **values: Any) -> list[str]:
    sweep = {"name": None, "model": "m", "points": 3, "jobs": {"succeeded": 2, "failed": 1}, "search": None, "error": None}
    data = {"sweep": sweep | values, "event": {"data": event or {}}}
    return text_of(Delivery(type=kind, sweep_id=ID), data, best).split("\n")


def test_a_succeeded_job_has_verdict_figures_and_link() -> None:
    assert about_job("job.succeeded", name="first try", metrics=METRICS) == [
        "*Job succeeded*: `first try` (`facebook/opt-125m`)",
        "50 %, balanced",
        "*Severe loss*: perplexity 14.45 → 25.45 on `wiki-sample`, × 1.76 (1.73 to 1.80)",
        "Agreement with the dense model 64.1 %",
        "Artifact 269 MB",
        f"<{URL}/jobs/{ID}|open>",
    ]


def test_each_gate_says_whether_it_was_missed() -> None:
    gate = {"text": "perplexity on c4:validation at most 5 %", "passed": False, "value": 0.0731, "judge_by": "interval"}
    metrics = {**METRICS, "gates": [gate | {"at_most_increase": 0.05}]}
    assert "Gate missed: perplexity on c4:validation at most 5 % (up to 7.31 %)" in about_job("job.gate_failed", metrics=metrics)


def test_without_the_dense_model_there_is_a_perplexity_and_no_verdict() -> None:
    only = {"pruned": METRICS["pruned"]}
    assert about_job("job.evaluated", metrics=only)[2:-1] == ["Perplexity 25.45 on `wiki-sample`, dense model not measured"]


def test_measurements_of_an_older_worker_may_lack_every_part() -> None:
    parts = {"dense": None, "pruned": {"perplexity": [{"dataset": "a"}]}, "agreement": [{"kl_divergence": 0.1}], "bytes": None}
    assert len(about_job("job.succeeded", metrics=parts)) == 3


def test_a_failed_job_has_its_code_and_detail() -> None:
    error = {"code": "disk-full", "detail": "3 GB are missing.", "retryable": True}
    assert about_job("job.failed", error=error)[-2] == "`disk-full`: `3 GB are missing.`"


@pytest.mark.parametrize("kind", [each for each in WebhookEvent if each.startswith("job.")])
def test_every_event_of_a_job_has_a_heading_and_the_jobs_id(kind: WebhookEvent) -> None:
    first, *_, last = about_job(kind, public_url=None)
    assert first == f"*{kind.replace('.', ' ').replace('_', ' ').capitalize()}*: `facebook/opt-125m`"
    assert last == f"job `{ID}`"


def test_a_job_of_an_older_version_without_a_recipe_has_a_message() -> None:
    assert about_job("job.cancelled", spec={"model": {"id": "a"}}) == ["*Job cancelled*: `a`", f"<{URL}/jobs/{ID}|open>"]


def test_a_sweep_has_its_points_and_the_best_of_them() -> None:
    found = judge(METRICS)
    assert found is not None
    best = BestPoint({"/recipe/preset": "fast", "/recipe/pattern/sparsity": 0.4}, found)
    assert about_sweep("sweep.finished", best=best, name="n") == [
        "*Sweep finished*: `n` (`m`)",
        "3 points: 2 succeeded, 1 failed",
        "Least loss: `fast, 40 %`",
        "*Severe loss*: perplexity 14.45 → 25.45 on `wiki-sample`, × 1.76 (1.73 to 1.80)",
        f"<{URL}/sweeps/{ID}|open>",
    ]


def test_a_search_has_its_answer_and_a_failed_sweep_its_error() -> None:
    lines = about_sweep("sweep.failed", search={"text": "So far 50 % < 60 %."}, error="`nothing` fits")
    assert lines[2:-1] == ["So far 50 % &lt; 60 %.", "`'nothing' fits`"]


def test_an_ended_point_has_its_values_and_state() -> None:
    event = {"position": 0, "state": "failed", "values": {"/labels/<!here>": "@all"}}
    assert about_sweep("sweep.point_ended", event)[1] == "`&lt;!here&gt; @\u200ball`: failed"


def test_a_test_message_names_its_webhook() -> None:
    expected = ["*Webhook test*: messages arrive here", f"<{URL}/webhooks/{ID}|open>"]
    assert text_of(Delivery(type=TEST_EVENT, webhook_id=ID), {}).split("\n") == expected


@given(
    st.text() | st.sampled_from(["<!channel>", "@everyone", "`*b*`", "a\n*Job failed*: x", "![](https://a.example)", "\u202ea"])
)
def test_foreign_text_stays_code_on_one_line(text: str) -> None:
    shown = code(text)
    inside = shown[1:-1]
    assert shown[0] == shown[-1] == "`"
    assert not set(inside) & set("`<>\n\r")
    assert "@" not in inside.replace("@\u200b", "")
    assert all(part.startswith(("amp;", "lt;", "gt;")) for part in inside.split("&")[1:])
    assert all(each.isprintable() or each == "\u200b" for each in inside)
