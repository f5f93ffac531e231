"""Readiness checks of the service."""
