"""Text view of a job's samples."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from service.cli.output import print_fields
from service.contract.continuations import pair_of, summary

_SHORT: Final = 200
"""Characters of a text that is shown shortly."""
_DIFFERENT: Final = "⟦"
_END: Final = "⟧"


def print_samples(samples: Mapping[str, Any] | None, *, are_all: bool = False) -> None:
    """Print the first prompt with the beginning of both continuations, or all of them; what differs is in ⟦⟧."""
    if not samples:
        return
    found = samples["continuations"]
    for sample in found if are_all else found[:1]:
        print_fields(_lines(sample, None if are_all else _SHORT))
    more = "" if are_all or len(found) == 1 else f" All {len(found)}: --samples."
    print_fields([("samples", summary(samples) + more)])


def _lines(sample: Mapping[str, Any], most: int | None) -> Iterator[tuple[str, str]]:
    pair = pair_of(sample)
    yield "prompt", _on_one_line(sample["prompt"], most)
    for model, rest in (("dense", pair.dense), ("pruned", pair.pruned)):
        if sample.get(model):
            yield model, _on_one_line(pair.common + (f"{_DIFFERENT}{rest}{_END}" if rest else ""), most) or "(nothing)"


def _on_one_line(text: str, most: int | None) -> str:
    joined = " ".join(text.split())
    return joined if most is None or len(joined) <= most else f"{joined[: most - 1]}…"
