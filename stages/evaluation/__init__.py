"""How good a model is, how sure that is, and whether transfer was worth it."""
