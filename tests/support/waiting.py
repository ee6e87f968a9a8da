"""Waiting for something with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(probe: Callable[[], T], what: str, *, timeout_s: float = 60.0, every_s: float = 0.02) -> T:
    """Call `probe` until it returns something true and return that; fail loudly at the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain: {what} (last answer: {answer!r})")
        time.sleep(every_s)
