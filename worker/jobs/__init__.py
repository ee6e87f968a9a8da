"""One attempt at a job: claim → load → paint → store → finish."""
