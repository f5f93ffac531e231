"""Jobs of a list counted by state and grouped by model, sweep or label."""
