"""Children of the fork server, from the side of the process that uses them.

The server is started with the first child, or by `start`, and again if it dies. It is a new program, started without
forking this process's threads, with no environment but what finding its modules takes: passwords stay here.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import shared
from shared import logs
from shared.errors import DecoderUnavailable
from shared.imaging.decoders import commands
from shared.imaging.decoders.limits import ChildLimits
from shared.imaging.decoders.wire import Channel

log = logs.get(__name__)

_PROGRAM = "shared.imaging.decoders.server"
#: Longest wait for the server to load its modules, and for one of its answers, in seconds.
_START_S, _ANSWER_S = 120.0, 30.0
#: Servers that are started one after the other if they end before they are ready: somebody may kill them.
_MOST_STARTS = 3
#: What a program may need from the environment to find its libraries.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL")


class Child:
    """A child that decodes, and the owner whose uploads it may be given again; None for nobody's."""

    def __init__(self, pid: int, channel: Channel, owner: str | None, server: subprocess.Popen[bytes]) -> None:
        """Describe a child of the server with that process id."""
        self.pid, self.channel, self.owner, self.server = pid, channel, owner, server


class ForkClient:
    """Starts and ends children; any number of threads may use it."""

    def __init__(self, *, program: str = _PROGRAM, spawns: bool = sys.platform == "darwin") -> None:
        """Prepare, and start nothing yet. With `spawns`, children are started from scratch instead of forked."""
        self._command = [sys.executable, "-P", "-m", program]
        self._options = ["--spawn"] if spawns else []
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the server unless it runs; raise `DecoderUnavailable` if it does not start."""
        with self._lock:
            self._started()

    def new_child(self, owner: str | None, limits: ChildLimits) -> Child:
        """Return a new child; raise `DecoderUnavailable`."""
        for _ in range(2):  # the second time with a new server
            with self._lock:
                server = self._started()
                ours, theirs = socket.socketpair()
                with theirs:
                    pid = self._ask(commands.FORK, *limits, fd=theirs.fileno())
            if pid is not None:
                return Child(pid, Channel(ours), owner, server)
            ours.close()
        raise DecoderUnavailable

    def end(self, child: Child) -> int | None:
        """End a child, if it has not ended; return its exit code, negative for a signal, or None if nobody knows."""
        child.channel.close()
        with self._lock:
            if self._process is not child.server:
                return None
            code = self._ask(commands.END, child.pid, 0, 0)
        return None if code == commands.UNKNOWN else code

    def close(self) -> None:
        """End the server and its children."""
        with self._lock:
            self._stop()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        for _ in range(_MOST_STARTS):
            self._stop()
            self._control, process = self._new_server()
            self._process = process
            if self._receive(_START_S) == commands.READY:
                return process
            self._stop()
            log.error("fork_server_failed", exit_code=process.returncode)
        raise DecoderUnavailable("The processes that decode pictures do not start.")

    def _new_server(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*self._command, str(fd), *self._options],
                pass_fds=[fd],
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent, which may still have pictures to take
            )
        return ours, process

    def _ask(self, operation: bytes, *numbers: int, fd: int | None = None) -> int | None:
        """Send a command and return its answer; None if the server is gone, which is made sure of."""
        assert self._control is not None
        try:
            socket.send_fds(self._control, [commands.COMMAND.pack(operation, *numbers)], [] if fd is None else [fd])
        except OSError:
            answer = None
        else:
            answer = self._receive(_ANSWER_S)
        if answer is None:
            self._stop()
        return answer

    def _receive(self, timeout_s: float) -> int | None:
        assert self._control is not None
        channel = Channel(self._control)
        channel.deadline = time.monotonic() + timeout_s
        try:
            return int(commands.ANSWER.unpack(channel.receive(commands.ANSWER.size))[0])
        except (OSError, EOFError):
            return None

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._control = None


def _environment() -> dict[str, str]:
    given = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    root = str(Path(shared.__file__).parents[1])
    # one thread, so that the server can be forked; decoding uses no linear algebra worth more
    return {**given, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
