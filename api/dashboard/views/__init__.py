"""The views of the dashboard, one module for each page and its actions; importing this adds them to the blueprint."""

from api.dashboard.views import audit, batches, bulk_actions, failures, job, jobs, login, media, now, submit

__all__ = ["audit", "batches", "bulk_actions", "failures", "job", "jobs", "login", "media", "now", "submit"]
