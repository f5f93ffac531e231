"""Input statistics of a layer, accumulated one calibration sample at a time.

Axes:    x (samples, tokens, in), one row per token; results (in,) or (in, in). Everything but gram is per token.
Symbols: n     tokens seen so far
         μ_s, V_s   mean and variance of the tokens of sample s (division by the number of tokens)
         mean  E[x_j]          variance  pooled: E[(x_j − E[x_j])²] over all tokens of all samples
         within_variance       mean over samples of V_s: excludes the variance between samples
         norm  √E[x_j²]        gram  Σ x xᵀ over tokens, tokens · E[x xᵀ]: not divided, because a copy may not fit into memory

Samples are merged in float64 (Chan, Golub and LeVeque, 1979), each on its own and in the order given, so that large
means do not cancel small variances and the result does not depend on the batching.
"""

import torch
from torch import Tensor

from service.contract.engine_sizes import EXAMPLES_ALLOCATED
from worker.engine.linear import float32_product

_STRIPES = 4  # of a Gram matrix, each summed from the diagonal on: 10 of 16 squares, the others are mirrored
_NARROWEST = 128  # columns; narrower products are not faster


class InputStatistics:
    """Running statistics of one input, which several matrices may share."""

    def __init__(self, width: int, *, device: torch.device, with_gram: bool, examples_per_sample: int) -> None:
        """Start empty. `with_gram` also sums `gram`; `examples_per_sample` tokens of each sample are kept unchanged."""
        self.tokens = 0
        self.samples = 0
        self.mean = torch.zeros(width, dtype=torch.float64, device=device)
        self._squares = torch.zeros_like(self.mean)  # Σ (x − mean)²
        self._within = torch.zeros_like(self.mean)  # Σ_s V_s
        self._gram = torch.zeros(width, width, device=device) if with_gram else None
        self._is_mirrored = True  # if not, only the stripes from the diagonal to the right are up to date in _gram
        self._examples_per_sample = examples_per_sample
        self._examples = torch.empty(0, width, device=device)  # capacity; only the first `_kept` rows are used
        self._kept = 0

    def add(self, x: Tensor) -> list[Tensor]:
        """Add a batch, (samples, tokens, in), of any floating type.

        Returns each sample as (in, tokens), for reuse, if a Gram matrix is summed, else an empty list: float32, except
        that bfloat16 stays what it is on CUDA.
        """
        samples = x if _stays_bfloat16(x) else x.float()
        return [turned for sample in samples if (turned := self._add_sample(sample)) is not None]

    def _add_sample(self, x: Tensor) -> Tensor | None:
        count = len(x)
        mean = x.mean(dim=0, dtype=torch.float32)  # `var_mean` would round it to the type of x
        squares = (x - mean).square_().sum(dim=0).double()
        shift = mean.double() - self.mean
        total = self.tokens + count
        self.mean += shift * (count / total)
        self._squares += squares + shift.square() * (self.tokens * count / total)
        self._within += squares / count
        self.tokens, self.samples = total, self.samples + 1
        if self._examples_per_sample:
            self._keep(x[:: -(-count // self._examples_per_sample)])
        if self._gram is None:
            return None
        turned = x.t() if x.dtype == torch.bfloat16 else x.t().contiguous()  # cuBLAS takes both orders
        self._add_products(self._gram, turned)
        return turned

    def _keep(self, x: Tensor) -> None:
        """Copy rows into one buffer; separate tensors would fragment the heap, whose memory could then not be returned."""
        end = self._kept + len(x)
        if end > len(self._examples):
            room = torch.empty(max(EXAMPLES_ALLOCATED, 2 * end), x.shape[1], device=x.device)
            room[: self._kept] = self._examples[: self._kept]
            self._examples = room
        self._examples[self._kept : end] = x
        self._kept = end

    def _add_products(self, gram: Tensor, x: Tensor) -> None:
        """Add x xᵀ, x (in, tokens), stripe by stripe from the diagonal to the right."""
        for stripe in self._stripes(len(x)):
            gram[stripe, stripe.start :] += float32_product(x[stripe], x[stripe.start :])
        self._is_mirrored = False

    @staticmethod
    def _stripes(width: int) -> list[slice]:
        size = width if width < _STRIPES * _NARROWEST else -(-width // _STRIPES)
        return [slice(start, min(start + size, width)) for start in range(0, width, size)]

    @property
    def gram(self) -> Tensor | None:
        """Σ x xᵀ, (in, in) float32, symmetric; None unless `with_gram`."""
        if self._gram is not None and not self._is_mirrored:
            for stripe in self._stripes(len(self._gram)):
                self._gram[stripe.stop :, stripe] = self._gram[stripe, stripe.stop :].T
            self._is_mirrored = True
        return self._gram

    @property
    def variance(self) -> Tensor:
        """Pooled variance, (in,) float64."""
        return self._squares / self.tokens

    @property
    def within_variance(self) -> Tensor:
        """Mean of the variances within the samples, (in,) float64; the divisor in the released DSnoT code."""
        return self._within / self.samples

    @property
    def norm(self) -> Tensor:
        """√E[x_j²], (in,) float64."""
        return (self.variance + self.mean.square()).sqrt()

    @property
    def examples(self) -> Tensor | None:
        """The kept tokens, (examples, in) float32; None if there are none."""
        return self._examples[: self._kept] if self._kept else None


def _stays_bfloat16(x: Tensor) -> bool:
    """Return whether the kernels convert these inputs while they read them, which saves a float32 copy."""
    return x.is_cuda and x.dtype == torch.bfloat16 and torch.version.hip is None
