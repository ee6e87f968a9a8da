"""Submitting jobs and following them: checks, estimates, the place in the queue, the job as it is now, its events."""
