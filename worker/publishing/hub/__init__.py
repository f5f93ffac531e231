"""Upload of an artifact to the Hugging Face Hub."""
