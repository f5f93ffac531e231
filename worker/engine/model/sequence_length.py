"""Maximum sequence length of a model: the config's limit, or fewer where a table of positions has fewer usable rows."""

import re
from typing import Any

from torch import nn

_TABLE = re.compile(r"(^|\.)(wpe|embed_positions|position_embeddings|positions_embed)$")
_BESIDE = re.compile(r"vision|visual|image|audio|video|(^|\.)encoder\.")  # other inputs than the decoder's tokens
_LIMITS = ("max_position_embeddings", "max_target_positions", "max_seq_len")


def max_sequence_length(text_config: Any, model: nn.Module) -> int | None:
    """Return the number of tokens that a sequence may have; None if neither config nor tables limit it."""
    stated = (getattr(text_config, name, None) for name in _LIMITS)
    limits = [limit for limit in stated if type(limit) is int and limit > 0][:1]
    return min(limits + [_usable_rows(table) for table in _tables(model)], default=None)


def _tables(model: nn.Module) -> list[nn.Embedding]:
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and _TABLE.search(name) and not _BESIDE.search(name)
    ]


def _usable_rows(table: nn.Embedding) -> int:
    """Return the rows without those skipped: `offset` in OPT and BART, up to the padding's in the RoBERTa family."""
    offset = getattr(table, "offset", None)
    if type(offset) is not int:
        offset = 0 if table.padding_idx is None else table.padding_idx + 1
    return table.num_embeddings - offset
