"""Small layers with correlated inputs, also the awkward ones: dead inputs, zero weights, fewer tokens than inputs."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

PATTERNS: list[tuple[int, int] | None] = [None, (2, 4), (1, 4), (4, 8)]


@dataclass(frozen=True)
class Layer:
    """W (out, in), X (tokens, in), G = XᵀX and B = YᵀX for outputs Y (tokens, out) that are not quite W's own."""

    weight: Tensor
    x: Tensor
    gram: Tensor
    target_products: Tensor

    @property
    def live(self) -> Tensor:
        return self.x.abs().sum(dim=0) > 0


def layer(seed: int, *, rows: int = 6, width: int = 16, tokens: int = 64, dead: int = 0, zeros: float = 0.0) -> Layer:
    """A layer of random numbers; `dead` inputs are always zero, a share `zeros` of the weights is."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(tokens, width, generator=generator) + 0.2) @ torch.randn(width, width, generator=generator) / width**0.5
    x[:, torch.randperm(width, generator=generator)[:dead]] = 0
    weight = torch.randn(rows, width, generator=generator)
    weight[torch.rand(rows, width, generator=generator) < zeros] = 0
    y = x @ weight.T + 0.3 * torch.randn(tokens, rows, generator=generator)
    return Layer(weight, x, x.T @ x, y.T @ x)


layers = st.builds(
    layer,
    st.integers(0, 2**32),
    rows=st.integers(1, 6),
    width=st.sampled_from([8, 16, 24]),
    tokens=st.sampled_from([4, 40, 200]),
    dead=st.integers(0, 3),
    zeros=st.sampled_from([0.0, 0.3]),
)


def errors(case: Layer, new: Tensor, *, target_products: bool = False) -> Tensor:
    """w G wᵀ − 2 w bᵀ + w₀ G w₀ᵀ of every row of new weights, (out,) float64: the true error, up to a constant of the row."""
    gram, weight = case.gram.double(), case.weight.double()
    target = case.target_products.double() if target_products else weight @ gram
    w = new.double()
    return ((w @ gram) * w - 2 * w * target + (weight @ gram) * weight).sum(dim=1)


def sizes(case: Layer) -> Tensor:
    """‖w₀ X‖² of every row, (out,) float64: what differences are to be held against."""
    return ((case.weight.double() @ case.gram.double()) * case.weight.double()).sum(dim=1)
