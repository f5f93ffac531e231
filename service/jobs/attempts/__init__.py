"""Attempts: claim, lease, progress and state transitions."""
