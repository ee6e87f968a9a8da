"""The database, the only source of truth: tables, queries and every write.

Invariant: nothing here imports Celery, Redis or Flask.
"""
