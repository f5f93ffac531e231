"""Jobs: admission, insertion, lifecycle, attempts, events."""
