"""Pruning methods as pure tensor functions: saliency, mask selection, mask refinement and weight updates."""
