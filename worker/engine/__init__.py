"""The pruning engine: a plain PyTorch library that makes causal language models sparse without training them.

`sparsify` prunes a checkpoint, `perplexity` and `evaluate` measure one, `outline` describes one; a `Recipe` says what is to
be done.
"""

from worker.engine.agreement import Agreement
from worker.engine.architectures import Outline, outline
from worker.engine.evaluation import Evaluation, evaluate, final_states, perplexity
from worker.engine.final_states import FinalStates
from worker.engine.journal import Journal
from worker.engine.perplexity import Perplexity
from worker.engine.recipe import Recipe
from worker.engine.report import MatrixReport, Observer, SparsityReport
from worker.engine.sparsify import sparsify

__all__ = [
    "Agreement",
    "Evaluation",
    "FinalStates",
    "Journal",
    "MatrixReport",
    "Observer",
    "Outline",
    "Perplexity",
    "Recipe",
    "SparsityReport",
    "evaluate",
    "final_states",
    "outline",
    "perplexity",
    "sparsify",
]
