"""Models as job inputs: sources, checkpoint headers, inspection."""
