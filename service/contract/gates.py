"""Gates: bounds that the pruned model of a job has to meet, and their outcomes."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from service.contract.targets import JudgeBy, Target, target_text


class Gate(Target):
    """Bound that a job's pruned model has to meet; judged when the job has succeeded."""

    judge_by: JudgeBy = Field(
        "interval",
        description="whether the bound must hold for the whole 95 % interval of the measurement, or for its value alone",
    )


class GateResult(Gate):
    """A gate with its outcome, as the metrics of a job have it."""

    text: str = Field(description="the gate as a sentence")
    value: float | None = Field(
        description="what was compared with the bound, in its units: the end of the interval that is further from it, or the "
        "value where there is no interval; null: not measured"
    )
    passed: bool
    reason: str | None = Field(None, description="why the gate could not be judged; it has not passed then")


def requirement_text(gate: Mapping[str, Any]) -> str:
    """Return a gate of a spec: `perplexity on c4:validation at most 5 % above the dense model's`."""
    return target_text(Gate.model_validate(gate))


def gate_text(gate: Mapping[str, Any]) -> str:
    """Return a stored result: `missed: perplexity on c4:validation at most 5 % above the dense model's (up to 7.31 %)`."""
    outcome, value = "passed" if gate["passed"] else "missed", gate.get("value")
    if value is None:
        return f"{outcome}: {gate['text']} ({gate.get('reason') or 'not measured'})"
    is_share, is_whole_interval = gate.get("at_most_increase") is not None, gate["judge_by"] == "interval"
    end = ("down to " if gate.get("at_least") is not None else "up to ") if is_whole_interval else ""
    return f"{outcome}: {gate['text']} ({end}{f'{value * 100:.3g} %' if is_share else f'{value:.4g}'})"
