"""Comparison of jobs: spec differences and measurements."""
