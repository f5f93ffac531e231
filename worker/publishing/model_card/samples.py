"""Section of the model card on samples: continuations of both models, from their first difference on in bold."""

from typing import Final

from service.contract.continuations import pair_of, summary
from worker.evaluation.samples.metrics import Samples
from worker.publishing.model_card.markdown import plain

_HOW: Final = (
    "Greedy continuations of at most {tokens} tokens{chat}, by the original (dense) and by this checkpoint (pruned). {figures} "
    "They are examples, not a measurement of quality."
)


def samples_section(samples: Samples) -> str:
    """Return the section as Markdown."""
    found = samples.model_dump(mode="json")
    chat = ", each prompt as a user's message in the chat template" if samples.chat else ""
    how = _HOW.format(tokens=samples.max_new_tokens, chat=chat, figures=summary(found))
    how += " Bold text follows the first difference." if samples.identical is not None else ""
    return "\n\n".join(["## Samples", how, *(_sample(each) for each in found["continuations"])])


def _sample(sample: dict[str, object]) -> str:
    pair = pair_of(sample)
    lines = [f"Prompt: *{plain(str(sample['prompt']))}*"]
    lines += [f"* dense: {_marked(pair.common, pair.dense)}"] if sample["dense"] else []
    return "\n".join([*lines, f"* pruned: {_marked(pair.common, pair.pruned)}"])


def _marked(common: str, rest: str) -> str:
    """Return the text in Markdown, its rest in bold, with the space between the two outside of it."""
    if not rest.strip():
        return plain(common + rest)
    between = " " if common[-1:].isspace() or rest[:1].isspace() else ""
    return f"{plain(common)}{between}**{plain(rest)}**"
