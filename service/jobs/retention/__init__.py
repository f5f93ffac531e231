"""Retention of ended jobs and of their figures by matrix."""
