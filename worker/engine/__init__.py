"""The pruning engine: a plain PyTorch library that makes causal language models sparse without training them.

`sparsify` prunes a checkpoint, `perplexity` measures one, `outline` describes one; a `Recipe` says what is to be done.
"""

from worker.engine.architectures import Outline, outline
from worker.engine.journal import Journal
from worker.engine.perplexity import Perplexity, perplexity
from worker.engine.recipe import Recipe
from worker.engine.report import MatrixReport, Observer, SparsityReport
from worker.engine.sparsify import sparsify

__all__ = [
    "Journal",
    "MatrixReport",
    "Observer",
    "Outline",
    "Perplexity",
    "Recipe",
    "SparsityReport",
    "outline",
    "perplexity",
    "sparsify",
]
