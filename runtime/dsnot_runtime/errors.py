"""Errors of the runtime; each message says what is wrong, where, and the remedy."""


class SparseModelError(ValueError):
    """A model that cannot be loaded with sparse matrices."""


class NotSparse(SparseModelError):
    """No matrix of the model has enough zeros."""


class NotFinite(SparseModelError):
    """A matrix holds NaN or an infinity."""


class BadConfig(SparseModelError):
    """An option of `SparseConfig` has an invalid value."""


class ReadOnly(SparseModelError):
    """A sparse weight would be changed in place."""


class IncompleteModel(SparseModelError):
    """The files lack a parameter of the model, or hold one that it does not have."""


class PackedFileError(SparseModelError):
    """A packed file or a mask that cannot be read."""


class NotPacked(PackedFileError):
    """A folder has no files of the kind, or a file has another format."""


class UnsupportedVersion(PackedFileError):
    """A file has a format version or a data type that cannot be read here."""


class DamagedFile(PackedFileError):
    """A file is truncated, does not match its checksums or is inconsistent."""


class WrongBase(SparseModelError):
    """The base model is not the one whose masks are given."""
