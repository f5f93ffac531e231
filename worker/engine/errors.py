"""Errors that stop a run, other than `ValueError` for invalid arguments and `OSError`."""


class EngineError(Exception):
    """Base class of the engine's errors; the message is a sentence for the user."""


class ArchitectureUnsupported(EngineError):
    """Unsupported model structure; the message names the class or model type."""


class ModelUnsafe(EngineError):
    """Checkpoint that would require running its code, reading pickles or accessing files outside its folder."""


class NumericalFailure(EngineError):
    """NaN or infinite weight or activation; the message names the layer."""


class DeviceMemoryExhausted(EngineError):
    """Out of device memory even with a small batch; the message says how much was needed."""
