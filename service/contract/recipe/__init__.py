"""Pruning recipe of a job: one set of types for the API, the service and the pruning engine.

Needs pydantic and the standard library only; the engine imports nothing else of this project.
"""
