"""A random Llama that is small enough for tests, with a tokenizer that is quick."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def save_model(folder: Path, *, layers: int = 2, width: int = 32, dtype: torch.dtype = torch.float32) -> Path:
    """The same weights on every call."""
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


_WORDS = "<unk> the of and to in a is that for on as with was by it be are at from this or an have not you"


def _tokenizer() -> PreTrainedTokenizerFast:
    """Knows some short words; all others are unknown to it. Quick enough to read a whole data set in a test."""
    vocabulary = {word: number for number, word in enumerate(_WORDS.split())}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
