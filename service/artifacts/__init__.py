"""Published artifacts: access, retention and garbage collection."""
