"""Access: API keys, quotas, browser sessions and idempotency keys."""
