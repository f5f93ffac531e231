"""Audit log of modifying requests and operator commands."""
