"""Evaluation of the dense and the pruned model: perplexity, agreement, zero-shot tasks, speed."""
