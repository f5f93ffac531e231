"""Choice of the artifacts whose files are hashed; apart from the comparison, whose imports the command line does not wait for."""

from enum import StrEnum


class Hashes(StrEnum):
    """Artifacts whose files are hashed; of the others the sizes are compared."""

    NONE = "none"
    SAMPLE = "sample"
    """20 random artifacts."""
    ALL = "all"
