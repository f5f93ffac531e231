"""Web dashboard: server-rendered pages, templates and scripts."""
