"""Model card (README.md) of an artifact."""
