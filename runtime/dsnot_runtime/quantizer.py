"""Packing of a dense checkpoint while transformers loads it."""

import contextlib
import ctypes
import math
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.core_model_loading import ConversionOps
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.auto import register_quantizer
from transformers.quantizers.base import HfQuantizer

from dsnot_runtime.config import METHOD, SparseConfig
from dsnot_runtime.errors import NotFinite, NotSparse, SparseModelError
from dsnot_runtime.weight import SparseWeight

_TYPES = (torch.bfloat16, torch.float16, torch.float32)


@register_quantizer(METHOD)
class SparseQuantizer(HfQuantizer):  # type: ignore[misc]
    """Hook of `from_pretrained` for `SparseConfig`; the loaded model is an ordinary one with some `SparseWeight` parameters."""

    requires_calibration = False
    is_trainable = False
    quantization_config: SparseConfig

    def __init__(self, quantization_config: SparseConfig, **kwargs: Any) -> None:
        super().__init__(quantization_config, **kwargs)
        self._layouts: dict[str, bool] = {}
        self._largest_share = 0.0
        self._is_dense_elsewhere = False
        self._problem: SparseModelError | None = None

    def is_serializable(self) -> bool:
        """Return True: the model saves its dense checkpoint."""
        return True

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        self._layouts = _layouts(model)
        if any(hasattr(module, "is_transposed") for module in model.modules()):
            model.set_experts_implementation("eager")  # the others gather the weights of all experts

    def param_needs_quantization(self, model: Any, param_name: str, **_: Any) -> bool:  # noqa: ARG002
        """Tell whether a parameter may be packed."""
        return param_name in self._layouts

    def get_quantize_ops(self) -> ConversionOps:
        """Return the conversion of one loaded parameter."""
        return _Pack(self)

    def packed(self, name: str, weight: Tensor) -> Tensor:
        """Return a parameter in its sparse form, or dense: not a matrix, too few zeros, or not on a CPU."""
        is_transposed = self._layouts.get(name)
        if is_transposed is None or weight.device.type != "cpu" or weight.dtype not in _TYPES:
            self._is_dense_elsewhere |= weight.device.type != "cpu"
            return weight
        sparse = weight if isinstance(weight, SparseWeight) else SparseWeight.pack(weight, is_transposed)
        share = sparse.share_of_zeros
        self._largest_share = max(self._largest_share, share)
        if share < self.quantization_config.min_zeros:
            return sparse.dense() if sparse is weight else weight
        if not all(math.isfinite(extreme) for extreme in sparse.kept.aminmax()):
            self._problem = self._problem or NotFinite(f"{name} holds NaN or an infinity; the checkpoint is damaged.")
        if sparse.is_transposed != is_transposed:
            sparse = SparseWeight.pack(sparse.dense(), is_transposed)
        return nn.Parameter(sparse.with_values(self.quantization_config.values), requires_grad=False)

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        self.remove_quantization_config(model)
        for module in model.modules():
            if hasattr(module, "config"):
                module.config._is_quantized = False
        if self._problem is not None:
            raise self._problem
        if self._is_dense_elsewhere:
            warnings.warn("Sparse matrices run on CPUs only; the matrices on other devices stay dense.", stacklevel=2)
        elif self._largest_share < self.quantization_config.min_zeros:
            raise NotSparse(
                f"No matrix has at least {self.quantization_config.min_zeros:.0%} zeros (the sparsest has "
                f"{self._largest_share:.1%}); load the model without SparseConfig, or lower min_zeros."
            )
        self._unpack_others(model)
        _release_memory(model)
        model.register_state_dict_post_hook(_make_dense)
        return model

    def _unpack_others(self, model: nn.Module) -> None:
        """Make embeddings and other weights dense that files hold in sparse form; tied ones stay tied."""
        dense: dict[int, nn.Parameter] = {}
        for prefix, module in model.named_modules():
            for name, weight in module.named_parameters(recurse=False):
                if isinstance(weight, SparseWeight) and f"{prefix}.{name}" not in self._layouts:
                    setattr(module, name, dense.setdefault(id(weight), nn.Parameter(weight.dense())))


class _Pack(ConversionOps):  # type: ignore[misc]
    """Conversion of a loaded dense weight to its sparse form."""

    def __init__(self, quantizer: SparseQuantizer) -> None:
        self._quantizer = quantizer

    def convert(self, input_dict: Mapping[str, Any], **_: Any) -> dict[str, Tensor]:
        loaded = {name: value[0] if isinstance(value, list) else value for name, value in input_dict.items()}
        return {name: self._quantizer.packed(name, value) for name, value in loaded.items()}


def _release_memory(model: nn.Module) -> None:
    """Copy the dense parameters, views that keep the whole checkpoint mapped, and return freed heap to the system."""
    for parameter in model.parameters():
        if not isinstance(parameter, SparseWeight) and parameter.device.type == "cpu":
            parameter.data = parameter.data.clone()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)


def _make_dense(_module: nn.Module, state: dict[str, Any], *_: Any) -> None:
    """Replace sparse weights in a state dict, so that what is saved is the plain dense checkpoint."""
    for name, value in state.items():
        if isinstance(value, SparseWeight):
            state[name] = value.dense()


def _layouts(model: nn.Module) -> dict[str, bool]:
    """Return which parameters may be packed, and whether their shape is [inputs, outputs].

    Embeddings and the heads tied to them are read by row and stay dense.
    """
    by_name: dict[str, bool] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            by_name[f"{prefix}.weight"] = isinstance(module, Conv1D)
        elif hasattr(module, "is_transposed"):  # stacked experts
            stacks = [name for name, parameter in module.named_parameters(recurse=False) if parameter.dim() == 3]
            by_name |= {f"{prefix}.{name}": module.is_transposed for name in stacks}
    tied: Mapping[str, str] = getattr(model, "all_tied_weights_keys", {})
    return {name: layout for name, layout in by_name.items() if name not in tied and name not in tied.values()}
