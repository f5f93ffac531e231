"""Comparison of the rows of the database with the objects of the artifact store, for `dsnot doctor --deep`."""
