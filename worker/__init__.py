"""Worker: claims jobs, prunes and evaluates models, publishes artifacts."""
