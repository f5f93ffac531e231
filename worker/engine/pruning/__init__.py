"""Pruning of loaded decoder blocks: sparsity allocation, masks and weight updates, matrix by matrix."""
