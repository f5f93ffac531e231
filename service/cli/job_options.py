"""Options of a job as they are typed, their groups in the help, and examples."""

from typing import Final

PANELS: Final = {
    "Model": ("source", "revision", "token"),
    "Sparsity and recipe": (
        "sparsity",
        "pattern",
        "preset",
        "criterion",
        "allocation",
        "objective",
        "refinement",
        "update",
    ),
    "Calibration": ("dataset", "samples", "sequence_length", "bos"),
    "Evaluation": ("evaluate", "speed", "tasks", "task_limit", "few_shot", "agreement_windows", "generate", "prompts", "require"),
    "Output": (
        "formats",
        "hub_repo",
        "hub_token",
        "hub_branch",
        "hub_public",
        "mlflow_experiment",
        "mlflow_run",
        "mlflow_model",
        "mlflow_alias",
    ),
    "Queue": ("device", "priority", "idempotency_key"),
}
"""Parameters of each group; options of no group are listed first."""

SUBMIT_EXAMPLES: Final = """\
Examples:

dsnot jobs submit org/model --preset balanced --sparsity 0.5 --watch

dsnot jobs submit mine --source local --pattern 2:4 --format packed

dsnot jobs submit @last --source job --evaluate wiki-sample --speed"""

SWEEP_EXAMPLES: Final = """\
Examples:

dsnot sweeps create org/model --presets fast,best --sparsities 0.4..0.7:0.1

dsnot sweeps create org/model --from 0.2 --to 0.8 --at-most-increase 0.05"""

_FLAGS: Final = {"model": "MODEL", "tasks": "--task", "formats": "--format", "prompts": "--prompt"}
"""Arguments, and options that are not called like their parameter."""


def flag(option: str) -> str:
    """Return the option as it is typed: `--sequence-length` of `sequence_length`."""
    return _FLAGS.get(option, "--" + option.strip("_").replace("_", "-"))
