"""Output of a pruning run: the pruned checkpoint, and the journal of finished blocks."""
