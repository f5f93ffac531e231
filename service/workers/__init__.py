"""Registry of workers: heartbeats, state and current job."""
