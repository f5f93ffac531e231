"""Checks of a whole deployment, for `dsnot doctor`."""
