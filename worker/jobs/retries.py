"""Decides whether a job whose attempt ended in an error is tried again, and when.

Pure: the error and the number of earlier retries in, a decision out. Transient errors are retried after growing pauses;
errors that a fresh process may cure, once; all others, never.
"""

from shared.errors import AtelierError, OutOfMemory

#: Retries of a transient error. At the longest pause they take about a quarter of an hour; full storage holds the whole
#: queue meanwhile, and uses up none.
MOST_RETRIES = 60
#: Retries of an unexpected error, or of memory that ran out: a hiccup of the device and fragmented memory pass with the
#: process, a bug and a picture too large do not.
MOST_BLIND_RETRIES = 1
#: The first pause and the longest, in seconds.
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0


def decide(error: AtelierError, *, retries: int) -> float | None:
    """Return the pause before the next attempt, in seconds, for a job retried `retries` times; None fails the job."""
    most = MOST_BLIND_RETRIES if spoils_process(error) else MOST_RETRIES if error.retryable else 0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**retries) if retries < most else None


def spoils_process(error: AtelierError) -> bool:
    """Tell whether to replace the process: an unexpected error, or one of the device's memory, may have broken it."""
    return isinstance(error, OutOfMemory) or type(error) is AtelierError
