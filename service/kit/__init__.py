"""Small parts without knowledge of jobs: pagination, strict JSON, JSON pointers, quantities, files."""
