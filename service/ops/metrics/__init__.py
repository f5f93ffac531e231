"""Prometheus metrics from the database, and their HTTP port."""
