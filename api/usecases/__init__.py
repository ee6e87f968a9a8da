"""What callers can do besides submitting jobs and filling batches: one module per subject, without HTTP.

A function that takes a session writes in its caller's transaction; one that takes the database opens its own.
"""
