"""Imports of a job, done before it arrives."""


def import_for_jobs() -> None:
    """Import what every job needs, which takes seconds; starts no thread and no device."""
    import torch._dynamo  # noqa: F401
    from transformers import AutoTokenizer, GenerationMixin, PreTrainedModel, PreTrainedTokenizerFast  # noqa: F401

    import worker.attempt.runner  # noqa: F401
