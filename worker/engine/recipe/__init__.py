"""Pruning recipes: parsing, presets, defaults and validation of a job's pruning settings."""
