"""Activations: recording, storage, input statistics and the dense reference of a block."""
