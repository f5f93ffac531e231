"""Access rules of the Hugging Face Hub, shared by service and workers: files, tokens, errors."""
