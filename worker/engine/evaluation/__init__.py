"""Evaluation of a checkpoint: perplexity, and agreement of a pruned model with the dense one."""
