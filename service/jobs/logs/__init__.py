"""Log lines of jobs and their live streams."""
