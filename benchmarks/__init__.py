"""Benchmarks of quality, speed, memory and the service under load, and an independent check of an artifact."""
