"""The database schema's history (Alembic). Each step works with the release before it."""
