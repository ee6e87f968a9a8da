"""The description of the HTTP API, made of what the routes declare."""
