"""ORM tables, one module per subject."""
