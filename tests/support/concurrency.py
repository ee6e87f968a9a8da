"""Several threads that do the same at once."""

import threading
from collections.abc import Callable

_TIMEOUT_S = 30.0


def race(action: Callable[[], object], threads: int) -> None:
    """Call `action` from `threads` threads, and wait until all have ended."""
    racers = [threading.Thread(target=action) for _ in range(threads)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(_TIMEOUT_S)
    assert not any(racer.is_alive() for racer in racers), f"not all ended within {_TIMEOUT_S} s"


def meet(*actions: Callable[[], object]) -> None:
    """Call each of `actions` from a thread of its own, all begun at one moment, and wait until all have ended."""
    start, waiting = threading.Barrier(len(actions)), list(actions)

    def act() -> None:
        action = waiting.pop()
        start.wait(_TIMEOUT_S)
        action()

    race(act, len(actions))
