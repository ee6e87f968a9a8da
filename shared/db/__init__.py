"""The database, the only source of truth: tables, queries and every write.

Functions take an open session and never commit: `shared.db.base.Database` opens and ends every transaction.

Invariant: nothing here imports Celery, Redis or Flask.
"""
