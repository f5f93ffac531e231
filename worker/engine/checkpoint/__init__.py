"""Safetensors checkpoints: a reader and the mapping of tensors to parameters."""
