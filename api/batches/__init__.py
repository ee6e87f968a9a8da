"""Batches: adding items, starting and pausing them, and handing out their results."""
