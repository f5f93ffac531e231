"""Stage timings of past runs, for estimates."""
