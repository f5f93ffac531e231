"""Data types and constants shared by service and worker; imports pydantic and the standard library only."""
