"""The whole system on one machine: Redis, the API and a worker as child processes, with a home for their files."""
