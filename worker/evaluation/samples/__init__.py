"""Greedy continuations of prompts by the dense and the pruned model."""
