"""Embedded stack: the whole service on one machine."""
