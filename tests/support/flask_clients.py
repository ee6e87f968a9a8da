"""Flask clients that bring an API key."""

from flask import Flask
from flask.testing import FlaskClient


def client_with(app: Flask, key: str) -> FlaskClient:
    """Make a client whose every request brings `key`."""
    made = app.test_client()
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return made
