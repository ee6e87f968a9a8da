"""Submitting jobs and following them: checks, estimates, positions in the queue, current state, event streams."""
