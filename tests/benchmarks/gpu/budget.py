"""Runs commands one after another within a budget of time: each with a limit, none that no longer fits."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


class Budget:
    """Seconds to spend. What no longer fits is judged by the longest that anything has taken so far."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._seconds = seconds
        self._longest_s = 0.0

    @property
    def spent_s(self) -> float:
        """The seconds since the start."""
        return self._clock() - self._started

    def spend(self, run: Callable[[float], dict[str, Any]], longest_s: float) -> dict[str, Any]:
        """Call `run` with its limit in seconds and return what it found, or why there is nothing."""
        left_s = self._seconds - self.spent_s
        if left_s < max(self._longest_s, 1.0):
            return {"skipped": f"{max(left_s, 0):.0f} s of the budget are left"}
        started = self._clock()
        try:
            return run(min(longest_s, left_s))
        except subprocess.TimeoutExpired as error:
            return {"failed": f"it took more than {error.timeout:.0f} s"}
        except (RuntimeError, OSError, ValueError) as error:
            return {"failed": str(error)}
        finally:
            # a case that hangs says nothing of how long the next one takes
            taken_s = self._clock() - started
            self._longest_s = max(self._longest_s, taken_s if taken_s < longest_s else 0.0)


def measured(request: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """Have a process answer a request; raise `RuntimeError` with its last words if it fails."""
    command = [sys.executable, "-m", "tests.benchmarks.gpu.measure", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise RuntimeError(lines[-1][:300])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
