"""Batches in the database: their lifecycle, items and counts."""
