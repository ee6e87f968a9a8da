"""How long the proofs are: short in every test run, long under `make chaos`."""

import os
from typing import TypeVar

LONG = os.environ.get("CHAOS") == "long"

T = TypeVar("T")


def scaled(short: T, long: T) -> T:
    """Choose the size of a proof."""
    return long if LONG else short
