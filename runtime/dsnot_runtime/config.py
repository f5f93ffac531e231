"""The option of `from_pretrained` that keeps pruned matrices sparse."""

from typing import Any, Final

from transformers.quantizers.auto import register_quantization_config
from transformers.utils.quantization_config import QuantizationConfigMixin

from dsnot_runtime.errors import BadConfig
from dsnot_runtime.weight import Values

METHOD: Final = "dsnot-sparse"


@register_quantization_config(METHOD)
class SparseConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """Keep matrices with many zeros in memory as bits and kept values.

    Args:
        values: `stored` keeps the values of the checkpoint; `int8` rounds them to 255 levels per output.
        min_zeros: share of zeros from which a matrix is kept sparse; below, the dense product is as fast.

    Raises:
        BadConfig: a value is not one of these.
    """

    def __init__(self, values: Values = "stored", min_zeros: float = 0.3, **unknown: Any) -> None:
        self.quant_method = METHOD
        self.values: Values = values
        self.min_zeros = min_zeros
        unknown.pop("quant_method", None)
        if unknown:
            raise BadConfig(f"SparseConfig has no option {sorted(unknown)[0]!r}; its options are values and min_zeros.")
        if values not in ("stored", "int8"):
            raise BadConfig(f"SparseConfig: values is {values!r}; give 'stored' or 'int8'.")
        if not 0 < min_zeros <= 1:
            raise BadConfig(f"SparseConfig: min_zeros is {min_zeros!r}; give a share above 0, at most 1.")
