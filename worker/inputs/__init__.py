"""Inputs of a job: models, data sets, tokens, and their provenance."""
