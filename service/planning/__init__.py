"""Plans of jobs: memory, disk, run time and queue estimates."""
