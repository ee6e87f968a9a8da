"""Refusals of jobs, and images that lead to them."""

from typing import Any

from shared.imaging import codec
from tests.support.factories import picture


def encoded(width: int, height: int, seed: int = 0) -> bytes:
    return codec.encode(picture(width, height, seed), format="png")


def refusal(answer: Any, code: str = "invalid_params") -> dict[str, Any]:
    """Return the one mistake of an answer that refuses."""
    assert (answer.status_code, answer.json["code"]) == (422, code)
    (mistake,) = answer.json["errors"]
    return mistake
