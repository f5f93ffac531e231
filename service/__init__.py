"""HTTP service, dispatcher, command line and Python client; nothing here imports torch."""
