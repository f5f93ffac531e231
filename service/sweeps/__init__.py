"""Sweeps: many jobs from one template, over axes or as a search for a target."""
