"""Job events and their live streams."""
