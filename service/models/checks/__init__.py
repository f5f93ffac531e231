"""Checks of models by workers, which build them without weights."""
