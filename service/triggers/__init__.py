"""Triggers: templates of jobs and sweeps that incoming events start, with deduplication and an event log."""
