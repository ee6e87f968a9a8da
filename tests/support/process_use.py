"""What a process and its children use, measured from outside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

#: How often memory is looked at, in seconds.
_LOOK_S = 0.002


@dataclass
class Use:
    """What was used in a block."""

    #: The most memory beyond that at the beginning.
    grown_bytes: int = 0
    cpu_s: float = 0.0


def cpu_s(process: psutil.Process) -> float:
    """Return the processor time of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def measured(process: psutil.Process) -> Iterator[Use]:
    """Measure what a process uses in a block."""
    use, is_over = Use(), threading.Event()
    before_bytes, before_s = process.memory_info().rss, cpu_s(process)

    def look() -> None:
        while not is_over.wait(_LOOK_S):
            use.grown_bytes = max(use.grown_bytes, process.memory_info().rss - before_bytes)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield use
    finally:
        is_over.set()
        looking.join()
        use.cpu_s = cpu_s(process) - before_s
