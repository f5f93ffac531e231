"""Triggers: job templates that incoming events start, with deduplication and an event log."""
