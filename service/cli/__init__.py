"""The groups of the `dsnot` command. What is slow to import is imported where it is used, so that `--help` is quick."""
