"""Documentation pages, and the generator of the reference."""
