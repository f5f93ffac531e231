"""Measurements of quality and of the service under load, and the check of an artifact from outside."""
