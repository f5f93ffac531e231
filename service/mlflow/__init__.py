"""Logging of succeeded jobs to an MLflow server: runs, and versions of registered models."""
