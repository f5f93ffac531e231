"""What can stop a run, apart from the user's own `ValueError` and what the operating system refuses."""


class EngineError(Exception):
    """Base of every error the engine raises on purpose; the message is a sentence for the user."""


class ArchitectureUnsupported(EngineError):
    """The engine does not know how to take this model apart; the message names the class or model type."""


class ModelUnsafe(EngineError):
    """The checkpoint asks for something that is never done: running its code, reading pickles, leaving its folder."""


class NumericalFailure(EngineError):
    """A weight or an activation is NaN or infinite; the message names the layer."""


class DeviceMemoryExhausted(EngineError):
    """The device has not enough memory even for a small batch; the message says how much was needed."""
