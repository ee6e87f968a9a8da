"""Commands about this machine: its processes, database schema, weights, health check and shell completion."""
