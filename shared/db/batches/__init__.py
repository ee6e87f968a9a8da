"""Batches in the database: their life, their items, their counts."""
