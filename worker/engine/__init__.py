"""Pruning engine: a plain PyTorch library for training-free pruning of causal language models.

`sparsify` prunes a checkpoint as a `Recipe` says, `perplexity` and `evaluate` measure one, and `outline` describes one.
"""

from service.contract.matrices import MatrixReport
from service.contract.recipe.recipe import Recipe
from worker.engine.evaluation.agreement import Agreement
from worker.engine.evaluation.evaluate import Evaluation, evaluate, final_states, perplexity
from worker.engine.evaluation.final_states import FinalStates
from worker.engine.evaluation.perplexity import Perplexity
from worker.engine.methods.dsnot import grow_and_prune
from worker.engine.methods.patterns import select_pruned
from worker.engine.methods.swaps import refine_by_swaps
from worker.engine.model.structure import Outline, outline
from worker.engine.output.journal import Journal
from worker.engine.report import Observer, SparsityReport
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
    "grow_and_prune",
    "outline",
    "perplexity",
    "refine_by_swaps",
    "select_pruned",
    "sparsify",
]
