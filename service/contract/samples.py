"""Samples of a job: prompts that the dense and the pruned model continue greedily.

Perplexity and multiple-choice tasks score given text; models that pass them may still write nothing but repetitions.

An effort takes them of models with at most 1 GiB of weights. Generation needs the whole model in memory, which nothing else in a
usual job does, so that a larger model gets samples on request only. The continuations of the dense model are cached.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from service.contract.parts import Part

DEFAULT_PROMPTS: Final = 5
DEFAULT_MAX_WEIGHT_BYTES: Final = 1 << 30
EQUIVALENT_TOKENS: Final = 50
"""Tokens of a batch that take as long as one decoded token: 1,113 against 21.9 per second for SmolLM2-135M on two cores."""

BUILT_IN: Final = (
    "The water cycle begins when the sun",
    "Explain in simple words why leaves change their colour in autumn:",
    'def is_prime(number):\n    """Return whether a number is prime."""\n',
    "A train covers 60 miles in one hour. In three hours it covers",
    "Customer: My parcel has not arrived yet.\nAgent:",
    "Packing list for a weekend in the mountains:\n1. A warm jacket\n2.",
    "The old lighthouse keeper opened the door and",
    "The main difference between a virus and a bacterium is that",
    "-- The ten customers with the most orders\nSELECT",
    "Question: What is 17 plus 25?\nAnswer:",
    "Three good habits for learning a language:\n-",
    "Teacher: What did you find out about volcanoes?\nStudent:",
)
"""Prompts of a job that names none. The first five cover description, explanation, code, arithmetic and dialogue."""


def _is_written(prompt: str) -> str:
    if not prompt.strip():
        raise ValueError("is blank; give a text that the models can continue")
    return prompt


Prompt = Annotated[str, Field(min_length=1, max_length=1000, json_schema_extra={"pattern": r"\S"}), AfterValidator(_is_written)]


class SamplesSpec(Part):
    """Greedy continuations of prompts by the dense and the pruned model."""

    prompts: list[Prompt] | None = Field(
        None, min_length=1, max_length=16, examples=[["The capital of France is"]], description="null: the built-in prompts"
    )
    num_prompts: int = Field(
        DEFAULT_PROMPTS, ge=1, le=len(BUILT_IN), description="first built-in prompts to continue, if `prompts` is null"
    )
    max_new_tokens: int = Field(
        48, ge=1, le=256, description="tokens generated for each prompt, fewer if the model ends its text"
    )
    chat: bool = Field(
        False, description="send each prompt as a user's message through the tokenizer's chat template; for instruct models"
    )
    max_weight_bytes: int | None = Field(
        None,
        ge=1,
        description="omit the samples of models with more bytes of weights; null: every model that fits into memory whole",
    )

    @property
    def may_be_omitted(self) -> bool:
        """Whether a model that cannot continue the prompts is no error: an effort chose them, not the caller."""
        return self.max_weight_bytes is not None and self.prompts is None and not self.chat

    @property
    def texts(self) -> tuple[str, ...]:
        """Prompts of the job."""
        return BUILT_IN[: self.num_prompts] if self.prompts is None else tuple(self.prompts)

    def are_taken_of(self, weight_bytes: int) -> bool:
        """Return whether a model with these bytes of weights gets samples."""
        return self.max_weight_bytes is None or weight_bytes <= self.max_weight_bytes

    def work(self, *, with_dense: bool) -> int:
        """Return the tokens of a batch that take as long as the generation at its full length."""
        return len(self.texts) * self.max_new_tokens * EQUIVALENT_TOKENS * (2 if with_dense else 1)


SMALL_MODELS: Final = SamplesSpec(max_weight_bytes=DEFAULT_MAX_WEIGHT_BYTES)
"""Samples of an effort."""
