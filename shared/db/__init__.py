"""The database, which is the truth: tables, every write to a job, and read-only listings.

Imports SQLAlchemy and the pure rooms of `shared`; never celery, redis or flask.
"""
