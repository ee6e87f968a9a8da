"""What the tests of the resources share."""

import pytest


@pytest.fixture
def batch(client, image_id) -> dict:
    """An open batch."""
    return client.post("/v1/batches", json={"style": image_id, "preset": "fast", "params": {"size": 64}}).json
