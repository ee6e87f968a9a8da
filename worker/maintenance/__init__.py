"""Maintenance beside painting: tasks that run periodically, each on its own, so that a broken one stops no other."""
