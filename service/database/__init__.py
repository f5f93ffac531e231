"""Database engine, schema and ORM tables."""
