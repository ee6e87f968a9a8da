"""Rows as answers: what a client sees of what the database holds."""
