"""Built-in and uploaded data sets."""
