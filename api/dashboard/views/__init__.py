"""The views of the dashboard, one module a page and its actions; importing this package adds them to the blueprint."""

from api.dashboard.views import audit, batches, bulk_actions, failures, job, jobs, login, media, now, submit

__all__ = ["audit", "batches", "bulk_actions", "failures", "job", "jobs", "login", "media", "now", "submit"]
