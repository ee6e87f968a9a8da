"""The hub: one reader of Redis and the database for all who follow jobs, and what it keeps for them."""
