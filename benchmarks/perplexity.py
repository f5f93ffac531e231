"""Compare the perplexity that jobs report with an independent computation by plain transformers.

    python -m benchmarks.perplexity MODEL --text wiki.test.raw --length 1024 --length 2048

One side is a job's computation: the text's rows in windows, one block of weights in memory at a time. The other is the whole
model as transformers loads it, a window at a time, with the loss that it computes itself. TEXT is WikiText-2 raw, a row per
line. Cases in OUT.json are not measured again, so the script can be stopped and restarted; OUT.md is rewritten.
"""

import argparse
import json
import math
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any, Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks._machine import about
from service.contract.spec import EvaluationSpec
from worker.engine import Perplexity, evaluate
from worker.evaluation.perplexity import PerplexityMetric
from worker.evaluation.texts import windows_of

SIDES: Final = ("service", "transformers")
DATASET: Final = "wikitext2:test"


def main() -> None:
    """Measure the missing cases on both sides and write the results."""
    options = _options()
    target = options.out.with_suffix(".json")
    known: list[dict[str, Any]] = json.loads(target.read_text())["cases"] if target.is_file() else []
    measure = {"service": by_service, "transformers": by_transformers}
    for length in options.length:
        for side in SIDES:
            case = {"model": options.model.name, "text": options.text.name, "length": length, "windows": options.windows}
            if any(each["side"] == side and each["case"] == case for each in known):
                continue
            started = perf_counter()
            found = measure[side](options.model, rows(options.text), length, options.windows)
            known.append({"case": case, "side": side, **found, "seconds": round(perf_counter() - started, 1)})
            write(options.out, known)
            print(side, length, found["perplexity"], flush=True)
    write(options.out, known)


def rows(text: Path) -> list[str]:
    """Return the rows as in the hub's data set: an empty one for a blank line, all others with their newline."""
    return [line if line.strip() else "" for line in text.read_text(encoding="utf-8").splitlines(keepends=True)]


def by_service(model: Path, documents: list[str], length: int, limit: int | None) -> dict[str, Any]:
    """Measure the perplexity as a job does."""
    spec = EvaluationSpec(perplexity=[DATASET], sequence_length=length, max_windows=limit)
    text = windows_of(model, DATASET, documents, spec)
    found: Perplexity = evaluate(model, text.windows).perplexity
    metric = PerplexityMetric.of(text, found).model_dump(mode="json")
    return {name: metric[name] for name in ("perplexity", "mean_nll", "ci95", "windows", "tokens", "dropped_tokens")}


def by_transformers(model: Path, documents: list[str], length: int, limit: int | None) -> dict[str, Any]:
    """Measure the perplexity with the usual loop over windows."""
    whole = AutoModelForCausalLM.from_pretrained(model).eval()
    ids = AutoTokenizer.from_pretrained(model)("\n\n".join(documents), return_tensors="pt", verbose=False).input_ids
    losses = []
    with torch.no_grad():
        for start in range(0, ids.shape[1] - length + 1, length)[:limit]:
            window = ids[:, start : start + length]
            losses.append(float(whole(window, labels=window, use_cache=False).loss))
    mean = fmean(losses)
    return {"perplexity": math.exp(mean), "mean_nll": mean, "windows": len(losses), "tokens": len(losses) * (length - 1)}


def write(out: Path, cases: list[dict[str, Any]]) -> None:
    """Write OUT.json and OUT.md."""
    facts = about()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps({"about": facts, "cases": cases}, indent=1) + "\n")
    lines = [
        "# Perplexity: jobs compared with plain transformers",
        "",
        f"The same text and windows, block by block and by the whole model; {', '.join(facts.values())}.",
        "",
        "| model | text | windows | service | 95 % interval | transformers | difference |",
        "|---|---|---|---:|---|---:|---:|",
    ]
    plain = {json.dumps(each["case"]): each for each in cases if each["side"] == "transformers"}
    for each in cases:
        other = plain.get(json.dumps(each["case"]))
        if each["side"] == "service" and other is not None:
            case = each["case"]
            low, high = each["ci95"]
            figures = f"{each['perplexity']:.5f} | {low:.3f} to {high:.3f} | {other['perplexity']:.5f}"
            difference = f"{each['perplexity'] / other['perplexity'] - 1:+.1e}"
            size = f"{each['windows']} × {case['length']}"
            lines.append(f"| {case['model']} | {case['text']} | {size} | {figures} | {difference} |")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with config.json and safetensors")
    parser.add_argument("--text", type=Path, required=True, help="WikiText-2 raw as a file, a row per line")
    parser.add_argument("--length", type=int, action="append", required=True, help="tokens of a window; may be repeated")
    parser.add_argument("--windows", type=int, help="maximum number of windows")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/perplexity"), help="path of the results, without suffix"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
