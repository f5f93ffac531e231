"""Rendering of the report. Names come from users and third-party files, so the template escapes everything.

Equal results give equal bytes; durations are in sections of their own.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from service.contract.formats import WeightSizes
from service.contract.spec import JobSpec
from service.contract.states import Stage
from service.kit.quantities import duration, size
from worker.publishing.outcome import Outcome
from worker.publishing.report import chart
from worker.publishing.report.blocks import Blocks, blocks_of, finite
from worker.publishing.report.quality import quality_of

_ERRORS: Final = {"start": "error_start", "final mask": "error_mask", "result": "error"}


def render(outcome: Outcome, recipe: Mapping[str, Any]) -> str:
    """Return the whole of report.html. `recipe`: the content of recipe.json."""
    blocks = blocks_of(outcome.report.matrices)
    page: str = _template().render(
        outcome=outcome,
        spec=outcome.spec,
        report=outcome.report,
        provenance=outcome.provenance,
        pattern=str(outcome.spec.recipe.pattern),
        quality=quality_of(outcome.quality.to_metrics()),
        blocks=blocks,
        errors=_error_chart(blocks),
        error_names=list(_ERRORS),
        sizes=_sizes(outcome.sizes, outcome.spec),
        stages=[(str(stage), outcome.costs.seconds[stage]) for stage in Stage if stage in outcome.costs.seconds],
        parts=", ".join(f"{part} {duration(seconds)}" for part, seconds in outcome.costs.engine_seconds.items()),
        recipe=json.dumps(recipe, indent=1, ensure_ascii=False),
        frame=chart,
    )
    return page


def _error_chart(blocks: Blocks) -> chart.Chart | None:
    labels = [row.label for row in blocks.rows]
    return chart.line_chart(
        labels, {name: [finite(getattr(row.summary, error)) for row in blocks.rows] for name, error in _ERRORS.items()}
    )


def _sizes(sizes: WeightSizes, spec: JobSpec) -> list[dict[str, Any]]:
    measured = "" if sizes.zstd_share_measured == 1 else f" (measured on {sizes.zstd_share_measured:.1%} of the bytes)"
    named = {
        "dense, zeros included": ("dense", sizes.dense),
        "packed, without the zeros": ("packed", sizes.packed),
        "mask, only where the zeros are": ("mask", sizes.mask),
        f"dense, compressed by zstd at level 1{measured}": (None, sizes.zstd),
    }
    return [
        {"name": name, "bytes": count, "share": count / sizes.dense if sizes.dense else None, "here": kind in spec.output.formats}
        for name, (kind, count) in named.items()
        if count is not None
    ]


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": _number, "share": _share, "duration": duration, "size": size}
    return environment.get_template("page.html.j2")


def _printable(value: Any) -> Any:
    """Replace characters that are invalid in HTML: control characters and lone surrogates."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in value)


def _number(value: float | None, digits: int = 4) -> str:
    known = finite(value)
    return "not a number" if known is None else f"{known:.{digits}g}" if abs(known) < 1 else f"{known:,.{digits - 1}f}"


def _share(value: float | None) -> str:
    known = finite(value)
    return "" if known is None else f"{known * 100:.2f}".rstrip("0").rstrip(".") + " %"
