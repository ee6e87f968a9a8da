"""What every route uses: bodies, query parameters, pages, responses, problems, idempotency, rate limits, access log."""
