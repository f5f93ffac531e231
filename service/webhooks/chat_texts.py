"""Messages for the incoming webhooks of Slack and compatible chat services: one text in Slack's markup.

Names, ids and error details are foreign text. They are escaped and set as code, so that they cannot format, link or notify:
`<!channel>` in Slack, `@all` in Mattermost and Rocket.Chat, `@everyone` in Discord.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.contract.failures import shortened
from service.contract.gates import gate_text
from service.contract.recipe.names import pattern_name, short_recipe_name
from service.contract.verdicts import Judgement, judge
from service.contract.webhooks import TEST_EVENT, WebhookEvent
from service.database.tables.webhooks import Delivery
from service.kit.quantities import figure, size
from service.sweeps.wording import values_text
from service.webhooks.messages import Subject

CONTENT_TYPE: Final = "application/json; charset=utf-8"
_NO_MENTION: Final = "@\N{ZERO WIDTH SPACE}"
"""An at sign that no chat service takes for the beginning of a mention."""


@dataclass(frozen=True)
class BestPoint:
    """Point of a sweep that a message names: a search's answer, else the one with the least loss."""

    values: Mapping[str, Any]
    judgement: Judgement


def chat_body_of(delivery: Delivery, subject: Subject | None, best: BestPoint | None, public_url: str | None) -> str:
    """Return the message of a delivery, `{"text": …}`; a test message has no subject."""
    kind = delivery.type.replace(".", " ").replace("_", " ").capitalize()
    data: Mapping[str, Any] = subject.data if subject else {}
    if "job" in data:
        job = data["job"]
        lines = [_heading(kind, job["name"], job["spec"]["model"]["id"]), *_of_job(job)]
    elif "sweep" in data:
        sweep = data["sweep"]
        ended = _of_point(data["event"]["data"]) if delivery.type == WebhookEvent.SWEEP_POINT_ENDED else ()
        lines = [_heading(kind, sweep["name"], sweep["model"]), *ended, *_of_sweep(sweep, best)]
    else:
        lines = [f"*{kind}*" + (": messages arrive here" if delivery.type == TEST_EVENT else "")]
    return json.dumps({"text": "\n".join([*lines, _link(delivery, public_url)])}, ensure_ascii=False)


def escaped(text: str) -> str:
    """Return foreign text on one line, without markup, mentions and characters that are not printable."""
    line = "".join(each for each in " ".join(shortened(text).split()) if each.isprintable())
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", _NO_MENTION)


def code(text: str) -> str:
    """Return foreign text as code, in which chat services format nothing."""
    return f"`{escaped(text).replace('`', chr(39)) or ' '}`"


def _heading(kind: str, name: str | None, model: str) -> str:
    return f"*{kind}*: {code(name)} ({code(model)})" if name else f"*{kind}*: {code(model)}"


def _of_job(job: Mapping[str, Any]) -> Iterator[str]:
    recipe = job["spec"].get("recipe") or {}
    if recipe.get("pattern"):
        yield escaped(f"{pattern_name(recipe)}, {short_recipe_name(recipe)}")
    yield from _measured(job["metrics"] or {})
    if error := job["error"]:
        yield f"{code(error['code'])}: {code(error['detail'])}"


def _measured(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was measured by this or an older version of the worker: every part may be missing."""
    if found := judge(metrics):
        yield _verdict(found)
    elif only := next((each for each in (metrics.get("pruned") or {}).get("perplexity") or () if each.get("perplexity")), None):
        yield f"Perplexity {figure(only['perplexity'])} on {code(only['dataset'])}, dense model not measured"
    for each in (metrics.get("agreement") or ())[:1]:
        if each.get("top1_agreement") is not None:
            yield f"Agreement with the dense model {each['top1_agreement']:.1%}".replace("%", " %")
    for gate in metrics.get("gates") or ():
        yield escaped(f"Gate {gate_text(gate)}")
    if metrics.get("bytes") is not None:
        yield f"Artifact {size(metrics['bytes'])}"


def _verdict(found: Judgement) -> str:
    change = f"perplexity {figure(found.dense)} → {figure(found.pruned)} on {code(found.dataset)}"
    return f"*{found.verdict.words}*: {change}, {found.ratio_text}"


def _of_point(event: Mapping[str, Any]) -> Iterator[str]:
    yield f"{code(values_text(event['values']))}: {escaped(event['state'])}"


def _of_sweep(sweep: Mapping[str, Any], best: BestPoint | None) -> Iterator[str]:
    states = ", ".join(f"{number} {state}" for state, number in sweep["jobs"].items())
    yield f"{sweep['points']} {'point' if sweep['points'] == 1 else 'points'}: {states}"
    if sweep["search"]:
        yield escaped(sweep["search"]["text"])
    elif best:
        yield f"Least loss: {code(values_text(best.values))}"
    if best:
        yield _verdict(best.judgement)
    if sweep["error"]:
        yield code(sweep["error"])


def _link(delivery: Delivery, public_url: str | None) -> str:
    noun, target = next(
        (noun, target)
        for noun, target in (("job", delivery.job_id), ("sweep", delivery.sweep_id), ("webhook", delivery.webhook_id))
        if target is not None
    )
    return f"<{public_url}/{noun}s/{target}|open>" if public_url else f"{noun} `{target}`"
