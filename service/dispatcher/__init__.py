"""Dispatcher process: outbox, timeouts, webhook delivery and garbage collection."""
