"""Idempotency keys: stored responses and their replay."""
