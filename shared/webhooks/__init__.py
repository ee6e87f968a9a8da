"""Webhooks: how they are signed, and a guard against server-side request forgery."""
