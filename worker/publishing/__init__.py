"""Publishing of an artifact: weight formats, model card, report, signature, and uploads to store and hub."""
