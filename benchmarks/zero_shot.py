"""Measure zero-shot tasks of a dense and a pruned model through a job's own code, and compare them with the plain harness.

    python -m benchmarks.zero_shot MODEL --data FOLDER --out benchmarks/results/NAME [--limit 100]

FOLDER has JSON Lines as docs/guides/zero-shot-tasks.md describes them: arc_easy, boolq, openbook_qa, piqa, winogrande.
MODEL is a folder; it is pruned first, by Wanda to 50 %.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks._machine import about
from service.contract.spec import EvaluationSpec, JobSpec
from service.settings import Settings

_EXAMPLES: Final = Path(__file__).parents[1] / "docs" / "examples" / "tasks"
_TEXTS: Final = {
    "arc_easy": None,
    "boolq": "{{query}}",
    "openbook_qa": "{{query}}",
    "piqa": "{{query}}Answer:",
    "winogrande": None,
}
"""Tasks, with the prompt template where it differs from the examples'."""
_BY_HAND: Final = """
import json, sys, lm_eval
from lm_eval.tasks import TaskManager
model, folder, names, limit, batch = sys.argv[1], sys.argv[2], sys.argv[3].split(","), int(sys.argv[4]), int(sys.argv[5])
manager = TaskManager(include_path=folder, include_defaults=False)
about = {"model": "hf", "model_args": {"pretrained": model}, "batch_size": batch, "device": "cpu", "limit": limit}
found = {name: lm_eval.simple_evaluate(tasks=[name], task_manager=manager, **about)["results"][name] for name in names}
print("found", json.dumps({name: {key: value for key, value in row.items() if "," in key} for name, row in found.items()}))
"""


class _Unwatched:
    """A reporter without a database."""

    def tick(self) -> None: ...

    def progress(self, done: int, total: int, unit: str) -> None: ...


def main() -> None:
    """Measure both models both ways, write the results, and exit with status 1 if a figure differs."""
    options = _options()
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        folder, names = write_tasks(options.data, scratch / "tasks")
        pruned = options.pruned or scratch / "pruned"
        if not pruned.exists():
            _prune(options.model, pruned)
        rows, equal = [], True
        for which, model in {"dense": options.model, "pruned": pruned}.items():
            ours, seconds = measure(model, folder, names, options.limit, scratch)
            oracle = by_hand(model, folder, names, options.limit)
            for result in ours:
                values = {name: metric["value"] for name, metric in result["metrics"].items()}
                rows.append({"model": which, **result, "equal": _harness_form(result) == oracle[result["task"]]})
                equal &= rows[-1]["equal"]
                print(
                    which,
                    result["task"],
                    values,
                    "equal" if rows[-1]["equal"] else oracle[result["task"]],
                    flush=True,
                )
            rows[-1]["seconds_of_all"] = round(seconds, 1)
    _write(options, rows)
    sys.exit(0 if equal else 1)


def write_tasks(data: Path, folder: Path) -> tuple[Path, list[str]]:
    """Write a task for each existing JSON Lines file; return their folder and names."""
    folder.mkdir()
    names = [name for name in _TEXTS if (data / f"{name}.jsonl").exists()]
    for name in names:
        shutil.copy(data / f"{name}.jsonl", folder)
        config = yaml.safe_load((_EXAMPLES / ("winogrande.yaml" if name == "winogrande" else "arc_easy.yaml")).read_text())
        text = _TEXTS[name] or config["doc_to_text"]
        files = {"data_files": {"test": f"{name}.jsonl"}}
        (folder / f"{name}.yaml").write_text(
            yaml.safe_dump(config | {"task": name, "doc_to_text": text, "dataset_kwargs": files})
        )
    return folder, names


def measure(model: Path, folder: Path, names: list[str], limit: int, scratch: Path) -> tuple[list[dict[str, Any]], float]:
    """Return the results as a job computes them, and the seconds that takes."""
    from worker.evaluation.tasks.stage import Progress, open_tasks, run_tasks

    spec = EvaluationSpec(tasks=names, task_limit=limit)
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://nowhere.invalid/none",
            "broker_url": "redis://nowhere.invalid/0",
            "artifact_url": scratch.as_uri(),
            "model_root": scratch,
            "cache_dir": scratch / "cache",
            "tasks_dir": folder,
            "device": "cpu",
        }
    )
    reporter: Any = _Unwatched()
    started = time.monotonic()
    tasks = open_tasks(model, spec, settings, reporter)
    found = run_tasks(model, tasks, device="cpu", watcher=Progress(reporter, tasks.requests))
    return [result.model_dump(mode="json") for result in found], time.monotonic() - started


def by_hand(model: Path, folder: Path, names: list[str], limit: int) -> dict[str, dict[str, Any]]:
    """Return the results of the plain harness, in a process that imports nothing of this project."""
    from worker.evaluation.tasks.harness import BATCH_SIZE

    command = [sys.executable, "-c", _BY_HAND, str(model.resolve()), str(folder), ",".join(names), str(limit), str(BATCH_SIZE)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    found: dict[str, dict[str, Any]] = json.loads(line.removeprefix("found "))
    return found


def _harness_form(result: dict[str, Any]) -> dict[str, Any]:
    values = {f"{name},none": metric["value"] for name, metric in result["metrics"].items()}
    return values | {f"{name}_stderr,none": metric["standard_error"] for name, metric in result["metrics"].items()}


def _prune(model: Path, destination: Path) -> None:
    from worker.engine import Recipe, sparsify
    from worker.inputs.datasets import read_text
    from worker.inputs.tokenization import calibration_windows, tokenize

    spec = JobSpec.model_validate({"model": {"source": "local", "id": "m"}, "recipe": {"refinement": {"method": "none"}}})
    stream = tokenize(model, read_text("c4-sample:train", destination.parent)).stream
    sparsify(
        model,
        destination,
        Recipe.from_dict(spec.recipe.model_dump(mode="json")),
        calibration_windows(stream, 16, 512, 0),
        device="cpu",
    )
    for file in model.iterdir():
        if file.is_file() and not (destination / file.name).exists():
            shutil.copy(file, destination)


def _write(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    known = {"model": options.model.name, "limit": options.limit, **about(("torch", "transformers", "lm-eval"))}
    options.out.with_suffix(".json").write_text(json.dumps({**known, "rows": rows}, indent=1) + "\n")
    how = (
        f"The first {options.limit} examples of each; pruned by Wanda to 50 %, 16 × 512 tokens of c4-sample. Made "
        "by `benchmarks.zero_shot`, which compares every figure and every standard error with the plain harness in a process of "
        "its own: *both* means that all digits are equal, for the dense model and the pruned one."
    )
    lines = [
        f"# Zero-shot tasks of {options.model.name}",
        "",
        how,
        "",
        "| task | metric | dense | pruned | equal to the plain harness |",
        "|---|---|---|---|---|",
    ]
    dense, pruned = ({row["task"]: row for row in rows if row["model"] == which} for which in ("dense", "pruned"))
    for task, row in dense.items():
        both = "both" if row["equal"] and pruned[task]["equal"] else "no"
        for metric in row["metrics"]:
            cells = " | ".join(_cell(each["metrics"][metric]) for each in (row, pruned[task]))
            lines.append(f"| {task} | {metric} | {cells} | {both} |")
    seconds = [str(row["seconds_of_all"]) for row in rows if "seconds_of_all" in row]
    lines += ["", f"Seconds for all tasks, dense and pruned: {', '.join(seconds)}. {known['machine']}; {known['versions']}."]
    options.out.with_suffix(".md").write_text("\n".join(lines) + "\n")


def _cell(metric: dict[str, Any]) -> str:
    return f"{metric['value']:.4f} ± {metric['standard_error']:.4f}"


def _options() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of JSON Lines files")
    parser.add_argument("--out", type=Path, required=True, help="path of the results, without suffix")
    parser.add_argument("--pruned", type=Path, help="folder of the pruned model; created if missing, and reused")
    parser.add_argument("--limit", type=int, default=100, help="examples of each task")
    return parser.parse_args()


if __name__ == "__main__":
    main()
