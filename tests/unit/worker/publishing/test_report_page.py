"""report.html: what it says, that it needs nothing else, and that no name in it becomes markup."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from service.contract.formats import WeightSizes
from service.contract.provenance import TaskFacts
from service.contract.spec import JobSpec
from tests.support.matrix_reports import matrix_report
from worker.engine import MatrixReport, SparsityReport
from worker.evaluation.quality import Quality
from worker.inputs.models import Model
from worker.inputs.provenance import provenance_of, text_facts
from worker.publishing.outcome import Costs, Outcome
from worker.publishing.report import render
from worker.publishing.report.blocks import blocks_of
from worker.publishing.report.chart import HEIGHT, LEFT, WIDTH, line_chart

KINDS = ("self_attn.q_proj", "mlp.up_proj")
HOSTILE = "</style></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"' {{ 7 * 7 }} & \x07\ud800]]>"


@dataclass(frozen=True)
class Measured(Quality):
    """Whatever a job may have measured, in the form of its metrics."""

    found: Mapping[str, Any] | None = None

    def to_metrics(self) -> dict[str, Any]:
        return dict(self.found or {})


def perplexity(value: float, **more: Any) -> dict[str, Any]:
    return {"dataset": "wiki-sample:test", "sequence_length": 64, "windows": 3, "tokens": 189, "perplexity": value} | more


def matrix(block: int, kind: str, error: float = 0.05, sparsity: float = 0.5) -> MatrixReport:
    name = f"model.layers.{block}.{kind}.weight"
    return matrix_report(name, (4, 8), error_start=0.2, error_mask=0.1, error=error, sparsity=sparsity)


def outcome(found: Mapping[str, Any] | None = None, *, model_id: str = "tiny", **changes: Any) -> Outcome:
    spec = JobSpec.model_validate({"model": {"source": "local", "id": "tiny"}, "calibration": {"dataset": "c4-sample"}})
    model = Model(model_id, Path("/nowhere"), "ab" * 32, "mit", None)
    report = SparsityReport.of(
        [[matrix(n, kind) for kind in KINDS] for n in range(3)], block_parameters=200, seconds={"masks": 1}
    )
    made = Outcome(
        spec,
        model,
        report,
        Measured(found=found),
        WeightSizes(dense=2000, packed=1100, zstd=1200),
        provenance_of(spec, model, [text_facts("c4-sample:train", ["One.", "Two."])], [], device="cpu"),
    )
    return replace(made, **changes)


def page(made: Outcome) -> str:
    return render(made, {"model": {"id": made.model.id}})


def parsed(text: str) -> ElementTree.Element:
    """By a parser that forgives nothing: the page is well-formed XML, too."""
    return ElementTree.fromstring(text)  # noqa: S314


def text_of(text: str) -> str:
    return " ".join("".join(parsed(text).itertext()).split())


FULL: dict[str, Any] = {
    "dense": {
        "perplexity": [perplexity(20.5, ci95=[19.0, 22.0])],
        "tasks": [{"task": "piqa", "samples": 9, "few_shot": 1, "metrics": {"acc": {"value": 0.75, "standard_error": 0.02}}}],
    },
    "pruned": {
        "perplexity": [
            perplexity(30.25, ci95=[28.5, 32.0], loss_difference={"mean": 0.389, "standard_error": 0.011, "ci95": [0.36, 0.41]})
        ],
        "tasks": [{"task": "piqa", "samples": 9, "few_shot": 1, "metrics": {"acc": {"value": 0.625, "standard_error": None}}}],
    },
    "agreement": [
        {
            "dataset": "wiki-sample:test",
            "windows": 3,
            "tokens": 189,
            "kl_divergence": 0.456,
            "kl_standard_error": 0.012,
            "kl_p99": 2.5,
            "top1_agreement": 0.875,
            "top1_standard_error": 0.01,
        }
    ],
}


def test_all_measurements_are_on_the_page() -> None:
    shown = text_of(page(outcome(FULL)))
    for figure in ("20.500 [19.000, 22.000]", "30.250 [28.500, 32.000]", "× 1.476", "0.389 ± 0.011 nats"):
        assert figure in shown
    for figure in ("0.75 ± 0.02", "0.625", "0.456 ± 0.012", "2.500", "87.5 % ± 1 %"):
        assert figure in shown


def test_texts_and_tasks_are_listed_with_their_hashes() -> None:
    made = outcome()
    asked = TaskFacts(task="piqa", questions=1838, sha256="cd" * 32)
    told = text_of(page(replace(made, provenance=made.provenance.model_copy(update={"tasks": [asked]}))))

    assert f"c4-sample:train210{made.provenance.texts[0].sha256}" in told
    assert f"piqa1,838{asked.sha256}" in told


@pytest.mark.parametrize(
    "found",
    [
        None,
        {"dense": None, "pruned": None, "agreement": None},
        {"pruned": {"perplexity": [perplexity(30.25)]}},
        {"dense": {"perplexity": [perplexity(20.5)]}, "pruned": {"perplexity": [perplexity(30.25)]}},
    ],
)
def test_missing_measurements_are_not_claimed(found: dict[str, Any] | None) -> None:
    shown = text_of(page(outcome(found)))
    assert ("Nothing was measured." in shown) == (not (found or {}).get("pruned"))
    assert ("30.250" in shown) == bool((found or {}).get("pruned"))
    assert ("not measured" in shown) == (found is not None and "dense" not in found)
    assert "Agreement" not in shown
    assert "Tasks" not in shown


def test_names_are_rendered_as_text() -> None:
    """Not the model's, a data set's, a task's, a matrix's, a warning's, a library's, nor the recipe's."""
    hostile = outcome(
        {
            "pruned": {
                "perplexity": [perplexity(30.25, dataset=HOSTILE)],
                "tasks": [{"task": HOSTILE, "samples": 1, "few_shot": 0, "metrics": {HOSTILE: {"value": 1.0}}}],
            },
            "agreement": [FULL["agreement"][0] | {"dataset": HOSTILE}],
        },
        model_id=HOSTILE,
        warnings=[HOSTILE],
        report=SparsityReport.of([[matrix(0, HOSTILE)]], block_parameters=40, seconds={HOSTILE: 1.0}),
    )
    engine = hostile.provenance.engine.model_copy(update={"device": HOSTILE, "libraries": {HOSTILE: HOSTILE}})
    source = hostile.provenance.model.model_copy(update={"id": HOSTILE, "license": HOSTILE, "base_model": HOSTILE})
    provenance = hostile.provenance.model_copy(update={"engine": engine, "model": source})
    text = render(replace(hostile, provenance=provenance), {HOSTILE: HOSTILE})
    tree = parsed(text)
    tags = {element.tag for element in tree.iter()}
    assert tags <= {element.tag for element in parsed(page(outcome(FULL, warnings=["one"]))).iter()}
    assert not {"script", "img", "iframe", "object", "link", "a"} & tags
    assert [name for element in tree.iter() for name in element.attrib if name.lower().startswith("on")] == []
    assert len(list(tree.iter("style"))) == 1
    assert text.count("alert(1)") >= 10
    assert "{{ 7 * 7 }}" in text_of(text)
    text.encode("utf-8")


def test_the_page_is_self_contained() -> None:
    text = page(outcome(FULL))
    tree = parsed(text)
    assert [name for element in tree.iter() for name in element.attrib if name in ("src", "href", "srcset", "data")] == []
    assert not re.search(r"https?:|url\(|@import|//", text)
    policy = next(each for each in tree.iter("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy.get("content") == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_chart_has_a_text_alternative() -> None:
    tree = parsed(page(outcome(FULL)))
    chart = next(each for each in tree.iter("svg") if each.get("role") == "img")
    named = {each.get("id") for each in (chart.find("title"), chart.find("desc")) if each is not None and each.text}
    assert set(str(chart.get("aria-labelledby")).split()) == named
    tables = [" ".join("".join(table.itertext()).split()) for table in tree.iter("table")]
    assert any("Means over the matrices" in table and "0.05" in table for table in tables)


def test_equal_jobs_give_equal_bytes_except_durations() -> None:
    first = outcome(FULL, costs=Costs({"pruning": 3.0}, {"masks": 1.0}, {"host_total": 5_000_000}))
    second = replace(first, costs=Costs({"pruning": 75.0}, {"masks": 2.0}, {"host_total": 6_000_000}))
    assert page(first) == page(replace(first))
    assert page(first) != page(second)
    section = re.compile(r"<section>\s*<h2>Time and memory</h2>.*?</section>", re.DOTALL)
    assert section.sub("", page(first)) == section.sub("", page(second))
    shown = text_of(page(second))
    assert "1 min 15 s" in shown
    assert "6 MB" in shown


def test_the_cells_are_the_sparsity_of_the_blocks_matrices() -> None:
    experts = [matrix(2, f"mlp.experts.{n}.up_proj", sparsity=share) for n, share in enumerate((0.25, 0.75))]
    blocks = blocks_of([matrix(0, KINDS[0]), *experts, matrix(11, KINDS[0], sparsity=0.7)])
    assert [(row.label, row.by_kind) for row in blocks.rows] == [
        ("0", {"self_attn.q_proj": 0.5}),
        ("2", {"mlp.experts.*.up_proj": 0.5}),
        ("11", {"self_attn.q_proj": 0.7}),
    ]
    assert list(blocks.kinds) == ["self_attn.q_proj", "mlp.experts.*.up_proj"]
    assert (blocks.shade(0.5), blocks.shade(0.7)) == (0, 1)


def test_nonfinite_errors_leave_a_gap() -> None:
    report = SparsityReport.of(
        [[matrix(n, KINDS[0], error=math.nan if n == 1 else 0.05)] for n in range(4)], block_parameters=200, seconds={}
    )
    text = page(outcome(report=report))
    line = list(parsed(text).iter("g"))[2]
    assert len(list(line.iter("circle"))) == 3
    assert [len(str(each.get("points")).split()) for each in line.iter("polyline")] == [2]
    assert not re.search(r"\bnan\b", text_of(text), re.IGNORECASE)
    assert "not a number" in text_of(text)


@pytest.mark.parametrize("most", [1e-9, 0.07, 0.1, 1.0, 3.7, 123456.0])
def test_points_match_the_axis(most: float) -> None:
    chart = line_chart(["a", "b", "c"], {"one": [0.0, most / 2, most]})
    assert chart is not None
    labelled = {float(tick.label): tick.at for tick in chart.up}
    assert 4 <= len(labelled) <= 11
    (low, bottom), (high, top) = min(labelled.items()), max(labelled.items())
    for value, (x, y) in zip((0.0, most / 2, most), chart.lines[0].dots, strict=True):
        assert y == pytest.approx(bottom + (top - bottom) * (value - low) / (high - low), abs=0.02)
        assert LEFT <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_a_subset_of_many_blocks_is_labelled() -> None:
    chart = line_chart([str(n) for n in range(126)], {"one": [0.1] * 126})
    assert chart is not None
    assert len(chart.across) <= 12
    assert line_chart(["a"], {"one": [None]}) is None


def test_samples_are_shown_side_by_side_with_what_differs_marked() -> None:
    written = {"tokens": 3, "repetition": 0.0}
    sample = {"dense": {"text": "it heats <b>water</b>", **written}, "pruned": {"text": "it heats ice", **written}}
    found = {
        "samples": {
            "max_new_tokens": 3,
            "chat": False,
            "identical": 0,
            "equal_share": 0.5,
            "repetition": {"dense": 0.0, "pruned": 0.25},
            "continuations": [{"prompt": HOSTILE, **sample, "first_difference": 1, "equal_share": 0.5}],
        }
    }
    made = page(outcome(found))
    parsed(made)
    assert "it heats <mark>&lt;b&gt;water&lt;/b&gt;</mark>" in made
    assert "it heats <mark>ice</mark>" in made
    assert "50 % of the tokens come before the first difference; repeated 4-grams: dense 0 %, pruned 25 %." in made
    assert "<script" not in made
    assert "<h2>Samples</h2>" not in page(outcome({"samples": None}))
