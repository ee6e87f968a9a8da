"""The OpenAPI document, generated from what the routes declare."""
