"""Artifact store: opening, reading, writing, presigning and removal, for folders and buckets."""
