"""Outbox of the jobs to be logged to MLflow, and its outcomes."""
