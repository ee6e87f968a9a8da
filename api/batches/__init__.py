"""Batches: taking items in, starting and steering them, and handing their results out."""
