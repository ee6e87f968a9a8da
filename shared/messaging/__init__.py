"""Redis: the broker, dispatch to it, progress through it, and a circuit breaker for when it is down."""
