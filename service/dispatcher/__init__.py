"""Dispatcher process: outbox, timeouts, webhook delivery, logging to MLflow and garbage collection."""
