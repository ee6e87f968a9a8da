"""Webhooks: their signatures, and which addresses may be called."""
