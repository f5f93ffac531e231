"""Sizes of the pieces in which the engine works, which a plan's memory estimate counts with."""

from typing import Final

ACTIVATIONS_SHARE: Final = 0.5
"""Share of the host's free memory for activations; the rest of them is kept in files."""
TOKENS_PER_BATCH: Final = 2048
"""Maximum tokens of a batch of whole samples; a batch has at least one sample."""
GRAM_BYTES: Final = 4 << 30
"""Bytes of the experts' Gram matrices that are accumulated in one forward pass."""
EXAMPLES: Final = 1024
"""Tokens on which errors are estimated where no Gram matrix is accumulated, rounded up to whole tokens per sample."""
EXAMPLES_ALLOCATED: Final = 1280
"""Tokens for which memory is allocated at first: `EXAMPLES` with a margin for the rounding."""
SWAPPED_WEIGHTS: Final = 1 << 23
"""Weights whose state the swap refinement holds at a time."""
SYSTEMS_BYTES: Final = {"cpu": 1 << 23, "gpu": 1 << 29}
"""Bytes of the least-squares systems that are factorised at a time: fits a CPU cache or fills a GPU."""
LOSS_LOGITS: Final = 1 << 24
"""Logits of which losses are computed at a time."""
COMPARED_LOGITS: Final = 1 << 21
"""Logits of each model that are compared at a time."""
PROMPT_TOKENS: Final = (33, 257, 2048)
"""Prompt lengths of the speed measurement in tokens; decoding continues the middle one."""
