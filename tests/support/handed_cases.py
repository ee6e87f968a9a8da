"""Files that people have, each of which once failed: they lie beside the checkout, or the test is skipped."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "cases"


def read(name: str) -> bytes:
    """Return the bytes of a handed file."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path.read_bytes()
