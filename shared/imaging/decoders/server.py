"""The fork server: gives new children to the process that started it, and says how they ended.

Run as `python -m shared.imaging.decoders.server FD [--spawn]`, where FD is a stream socket for `commands`. It reads
nothing that strangers sent, and has one thread, so that forking it is safe; with `--spawn` it starts each child from
scratch, for macOS, whose libraries break in a forked process.

Invariant: no child outlives it, and it ends when its parent closes the socket, or dies.
"""

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from shared.imaging.decoders import child, commands, tasks
from shared.imaging.decoders.limits import ChildLimits

#: Files that a process may have open. Python needs one or two to load a module.
_OPEN_FILES = 32
_PR_SET_PDEATHSIG = 1


class ForkServer:
    """Makes and ends children."""

    def __init__(self, control: socket.socket, *, spawns: bool) -> None:
        """Serve the process at the other end of `control`."""
        self._control = control
        self._spawns = spawns
        self._children: set[int] = set()
        self._set_death_signal = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def serve(self) -> None:
        """Carry out commands until the other end closes; then end the children."""
        try:
            while True:
                size = commands.COMMAND.size
                data, fds, _, _ = socket.recv_fds(self._control, size, 1, socket.MSG_WAITALL)
                if len(data) < size:
                    return
                operation, *numbers = commands.COMMAND.unpack(data)
                is_fork = operation == commands.FORK
                answer = self._fork(fds[0], ChildLimits(*numbers)) if is_fork else self._end(numbers[0])
                self._control.sendall(commands.ANSWER.pack(answer))
        finally:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)

    def _fork(self, fd: int, limits: ChildLimits) -> int:
        pid = self._spawned(fd, limits) if self._spawns else os.fork()
        if pid == 0:
            self._run_child(fd, limits)
        os.close(fd)
        self._children.add(pid)
        return pid

    def _run_child(self, fd: int, limits: ChildLimits) -> None:
        """Be a child, to the end of this process."""
        code = 1
        try:
            self._control.close()
            if self._set_death_signal is not None:
                self._set_death_signal(_PR_SET_PDEATHSIG, signal.SIGKILL)
            child.serve(socket.socket(fileno=fd), limits)
            code = 0
        finally:
            os._exit(code)

    def _spawned(self, fd: int, limits: ChildLimits) -> int:
        os.set_inheritable(fd, True)
        command = [sys.executable, "-P", "-m", child.__name__, str(fd), *map(str, limits)]
        return os.posix_spawn(sys.executable, command, os.environ)

    def _end(self, pid: int) -> int:
        if pid not in self._children:
            return commands.UNKNOWN
        self._children.remove(pid)
        os.kill(pid, signal.SIGKILL)  # one that has ended waits for us under its id, and keeps its own exit code
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def confine() -> None:
    """Take from this process, and so from its children, what decoding does not need."""
    for kind, most in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        resource.setrlimit(kind, (most, most))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def main() -> None:
    """Load what children need, then serve."""
    child.note_logs()
    tasks.warm_up()
    gc.collect()
    gc.freeze()  # else a collection in a child copies every page
    with suppress(OSError):  # Linux: where memory runs out, end a decoder rather than its parent
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    control = socket.socket(fileno=int(sys.argv[1]))
    confine()
    control.sendall(commands.ANSWER.pack(commands.READY))
    ForkServer(control, spawns="--spawn" in sys.argv).serve()


if __name__ == "__main__":
    main()
