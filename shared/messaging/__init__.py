"""Redis: the broker, dispatch to it, progress through it, and what is done while it is away."""
