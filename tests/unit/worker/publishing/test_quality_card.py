"""What the model card says of quality, and its samples."""

from worker.evaluation.agreement import AgreementMetric
from worker.evaluation.perplexity import LossDifference, PerplexityMetric
from worker.evaluation.quality import Measured, Quality
from worker.evaluation.samples.metrics import sample_of, samples_of
from worker.publishing.model_card.quality import perplexity_section
from worker.publishing.model_card.samples import samples_section

DENSE = PerplexityMetric(
    dataset="wiki-sample:test",
    sequence_length=64,
    windows=3,
    tokens=189,
    perplexity=20.5,
    ci95=(19.25, 21.75),
    mean_nll=3.02,
    standard_error=0.01,
)
PRUNED = DENSE.model_copy(
    update={
        "perplexity": 30.25,
        "ci95": (28.0, 32.5),
        "loss_difference": LossDifference(mean=0.389, standard_error=0.002, ci95=(0.3801, 0.3979)),
    }
)
AGREEMENT = AgreementMetric(
    dataset="wiki-sample:test",
    windows=2,
    tokens=12600,
    kl_divergence=0.1234,
    kl_standard_error=0.0021,
    kl_p99=0.9876,
    top1_agreement=0.8123,
    top1_standard_error=0.0045,
)


def test_intervals_differences_and_agreement_are_in_tables() -> None:
    text = perplexity_section(Quality(Measured([DENSE]), Measured([PRUNED]), [AGREEMENT]))
    before, after, added = "20.5000 (19.25 to 21.75)", "30.2500 (28.00 to 32.50)", "+0.3890 (+0.3801 to +0.3979)"
    assert rf"| wiki\-sample:test | 3 × 64 tokens | {before} | {after} | {added} |" in text
    assert r"| wiki\-sample:test | 12,600 | 0.1234 ± 0.0021 | 0.9876 | 81.23% ± 0.45% |" in text
    assert "of its own." in text


def test_missing_measurements_are_omitted() -> None:
    single = PRUNED.model_copy(update={"ci95": None, "loss_difference": None, "begins_with_bos": True})
    text = perplexity_section(Quality(None, Measured([single])))
    assert r"| wiki\-sample:test | 3 × 64 tokens | not measured | 30.2500 | not measured |" in text
    assert "the tokenizer adds one at the very start" in text
    assert "KL" not in text
    headed = perplexity_section(Quality(None, Measured([PRUNED.model_copy(update={"bos": "window"})])))
    assert "every window has a beginning-of-sequence token at its head" in headed
    assert perplexity_section(Quality()) == ""


def test_samples_are_on_the_card_with_what_differs_in_bold() -> None:
    differing = sample_of("The *sun*", ["it heats | water", "it heats\nice"], [[1, 2, 3], [1, 2, 9]])
    alone = sample_of("Alone", ["one"], [[1]])
    text = samples_section(samples_of([differing], prompts="built-in", max_new_tokens=3, chat=True, cached=False))
    assert r"Prompt: *The \*sun\**" in text
    assert "* dense: it heats **\\| water**\n* pruned: it heats **ice**" in text
    assert "0 of 1 continuations are identical; 67 % of the tokens come before the first difference" in text
    assert "chat template" in text
    single = samples_section(samples_of([alone], prompts="built-in", max_new_tokens=3, chat=False, cached=False))
    assert "* pruned: one" in single
    assert "* dense" not in single
    assert "**" not in single


def test_no_text_of_a_model_becomes_markup_of_the_card() -> None:
    hostile = "# Title\n<img src=x onerror=alert(1)> ```\n| a | [b](c) **d**"
    text = samples_section(
        samples_of([sample_of(hostile, [hostile, "x"], [[1], [2]])], prompts="x", max_new_tokens=1, chat=False, cached=False)
    )
    for markup in ("\n# Title", "```", "[b](c)"):
        assert markup not in text
    assert text.count("<img") == text.count(r"\<img") == 2
