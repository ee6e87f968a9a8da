"""Commands for operators: workers and queue, bulk actions, API keys, what happened, what the server reports."""
