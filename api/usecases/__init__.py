"""What callers can do besides submitting and batches: one module a subject, no HTTP."""
