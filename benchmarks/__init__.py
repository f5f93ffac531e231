"""Measurements of quality, and the check of an artifact from outside."""
