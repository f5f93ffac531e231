"""Services of the worker's process: registration, metrics, memory and disk usage."""
