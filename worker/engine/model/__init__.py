"""Model structure without weights, and loading of one decoder block at a time."""
