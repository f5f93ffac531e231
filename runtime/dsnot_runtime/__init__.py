"""Sparse language models in transformers on CPUs: matrices stay in memory as bits and kept values."""
