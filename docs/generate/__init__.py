"""Generator of the reference pages and diagrams of the documentation."""
