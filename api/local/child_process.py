"""One child process of the embedded stack: started with a log file, restarted when it dies, and certain to end.

A child runs in a session of its own, so that Ctrl-C reaches only the supervisor. On Linux the kernel terminates it
if the supervisor is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
#: How long a child may take to end by itself before it is killed, in seconds.
_GRACE_S = 15.0
#: Longest pause before a child that keeps dying is restarted, in seconds.
_LONGEST_PAUSE_S = 30.0
#: A child that lived this long was healthy, so its next death counts as the first; in seconds.
_HEALTHY_AFTER_S = 60.0


class Child:
    """A command that is restarted whenever it dies."""

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str], pass_fds: Sequence[int] = ()
    ) -> None:
        """Describe the child, whose output is appended to `log`; `start` runs it."""
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = dict(env)
        self._pass_fds = tuple(pass_fds)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        #: Deaths in a row; that of a process that lived longer than `_HEALTHY_AFTER_S` begins a new one.
        self._deaths = 0
        #: When a child whose death was noticed starts again, by the monotonic clock; None for any other.
        self._restart_at: float | None = None

    def start(self) -> None:
        """Run the command."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                pass_fds=self._pass_fds,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread here
            )
        self._started_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def restart_if_dead(self) -> bool:
        """Notice a death and return True, or start a dead child again once its pause is over; call this often.

        The pause is 1 s, and doubles with each death in a row, up to 30 s.
        """
        now = time.monotonic()
        if self.alive:
            return False
        if self._restart_at is None:
            self._deaths = 1 if now - self._started_at > _HEALTHY_AFTER_S else self._deaths + 1
            self._restart_at = now + min(_LONGEST_PAUSE_S, 0.5 * 2 ** min(self._deaths, 10))
            return True
        if now >= self._restart_at:
            self._restart_at = None
            self.start()
        return False

    @property
    def exit_code(self) -> int | None:
        """The exit code of a dead child; negative if a signal killed it."""
        return self._process.poll() if self._process else None

    def terminate(self) -> None:
        """Ask the process to end, with SIGTERM; return at once."""
        if self._process is not None and self.alive:
            self._process.terminate()

    def end(self, grace_s: float = _GRACE_S) -> None:
        """Wait until the process has ended; kill its whole session when `grace_s` are over.

        Call `terminate` first, for all children that are to end: this asks for nothing, and would wait in vain.
        """
        if self._process is None:
            return
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log_tail(self, lines: int = 5) -> str:
        """Return the end of the log."""
        with self.log.open(encoding="utf-8", errors="replace") as text:
            return "".join(deque(text, maxlen=lines)).strip()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
