"""What to do with a job whose attempt ended in an error: try again, when and how, or give it up.

Pure: an error and the tries before it in, a decision out. Errors that pass by themselves are tried again after a
growing pause; what a fresh process may mend, once; what a second look would not change, never.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.errors import AtelierError, OutOfMemory

#: Retries of an error that passes by itself. With the longest pause that is about a quarter of an hour; storage
#: that is full holds the whole queue meanwhile, and uses up none.
MOST_RETRIES = 60
#: Retries of an error that nobody foresaw, and of memory that ran out: a device's hiccup and memory in pieces pass
#: with the process, a bug and a picture too large do not.
MOST_BLIND_RETRIES = 1
#: The first pause and the longest, in seconds.
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0


class Retry(NamedTuple):
    """Try again after a pause."""

    after_s: float


def decide(error: AtelierError, *, retries: int) -> Retry | None:
    """Decide for a job that was tried again `retries` times; None gives it up."""
    most = MOST_BLIND_RETRIES if spoils_process(error) else MOST_RETRIES if error.retryable else 0
    return Retry(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**retries)) if retries < most else None


def spoils_process(error: AtelierError) -> bool:
    """Say whether the process should be replaced: a device's memory, or what nobody foresaw, may stay broken."""
    return isinstance(error, OutOfMemory) or type(error) is AtelierError
