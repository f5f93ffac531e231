"""A random Llama with a tokenizer of bytes, so that the number of tokens of a text is known without the tokenizer."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from service.settings import Settings

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())  # 256 printable signs, one per byte
VOCABULARY = [*BYTES, "<s>", "</s>", "qz"]  # the last is for GGUF, which cannot do without one merge
BOS, EOS = 256, 257


def config(**changes: object) -> LlamaConfig:
    shape = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    return LlamaConfig(**(shape | changes))


def build(**changes: object) -> LlamaForCausalLM:
    """The same weights on every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config(**changes)).eval()


def tokenizer(*, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE({token: number for number, token in enumerate(VOCABULARY)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if adds_bos:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def save_resting_on_bos(folder: Path) -> Path:
    """Save a model that predicts English letters if its first token is BOS, and nonsense if not; its tokenizer adds one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config())
        letters = torch.tensor(tokenizer()("The quick brown fox jumps over a lazy dog, and then it sleeps. ")["input_ids"])
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
        for _ in range(30):
            text = letters[torch.randint(len(letters), (8, 20))]
            with_bos = torch.cat([torch.full((8, 1), BOS), text], dim=1)
            nonsense = torch.full_like(text, EOS)
            loss = model(with_bos, labels=with_bos).loss + model(text, labels=nonsense).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval().save_pretrained(folder)
    tokenizer(adds_bos=True).save_pretrained(folder)
    return folder


def save(folder: Path, **changes: object) -> Path:
    build(**changes).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def with_panicking_tokenizer(folder: Path) -> Path:
    """A checkpoint whose tokenizer loads, and panics in its library at any text."""
    path = save(folder) / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pre_tokenizer": {"type": "FixedLength", "length": 0}}))
    return folder


def settings(folder: Path, **changes: object) -> Settings:
    """Settings whose folders lie in `folder` and whose servers do not exist."""
    places = {
        "database_url": "postgresql://nowhere.invalid/none",
        "broker_url": "redis://nowhere.invalid/0",
        "artifact_url": (folder / "artifacts").as_uri(),
        "model_root": folder / "models",
        "cache_dir": folder / "cache",
    }
    return Settings.model_validate(places | changes)
