"""Command groups of `dsnot`. Slow imports are done where they are used, so that `--help` is fast."""
