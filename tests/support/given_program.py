"""`python -m tests.support.given_program`: runs the Python code on its standard input, for programs of the fork server."""

import sys

if __name__ == "__main__":
    exec(compile(sys.stdin.read(), "<given>", "exec"), {"__name__": "__main__"})  # noqa: S102
