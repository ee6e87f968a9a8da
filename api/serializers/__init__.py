"""Turns rows of the database into the models that clients receive."""
