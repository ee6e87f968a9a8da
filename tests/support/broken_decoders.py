"""A fork server whose children do what a hostile picture might make them do, as the picture's first word says.

Run as `shared.imaging.decoders.server` is.
"""

import json
import os
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from shared.imaging.decoders import server, tasks
from shared.imaging.decoders.tasks import Done

_HEAVY = {"celery", "flask", "pydantic", "redis", "sqlalchemy", "tensorflow"}
_inspect = tasks.TASKS["inspect"]


def _obey(blobs: Sequence[bytes], **bounds: int) -> Done:
    word = blobs[0].partition(b" ")[0].decode(errors="replace")
    act = _ACTS.get(word)
    return _inspect(blobs, **bounds) if act is None else act(blobs[0])


def _loop(_: bytes) -> Done:
    while True:
        pass


def _hoard(_: bytes) -> Done:
    held = []
    while True:
        held.append(bytes(2**24))


def _die(data: bytes) -> Done:
    os.kill(os.getpid(), int(data.split()[1]))
    raise AssertionError


def _lie(data: bytes) -> Done:
    """Send the rest of the picture in place of an answer."""
    text = data.partition(b" ")[2]
    fds = [fd for fd in range(3, 64) if _is_socket(fd)]
    with socket.socket(fileno=fds[0]) as connection:
        connection.sendall(struct.pack("!I", len(text)) + text)
    os._exit(0)


def _about(_: bytes) -> Done:
    """Describe this process."""
    fds = [fd for fd in range(256) if _exists(fd)]
    about = {"pid": os.getpid(), "files": len(fds), "threads": len(list(Path("/proc/self/task").iterdir()))}
    modules = json.dumps(sorted(_HEAVY & set(sys.modules)))
    return Done({**about, "environment": json.dumps(sorted(os.environ)), "modules": modules})


def _write(data: bytes) -> Done:
    Path(os.fsdecode(data.partition(b" ")[2])).write_bytes(b"x")
    raise AssertionError


def _is_socket(fd: int) -> bool:
    return _exists(fd) and stat.S_ISSOCK(os.fstat(fd).st_mode)


def _exists(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _stop(_: bytes) -> Done:
    os.kill(os.getpid(), signal.SIGSTOP)
    raise AssertionError


def _sleep(data: bytes) -> Done:
    time.sleep(float(data.split()[1]))
    return Done({"width": 1, "height": 1, "format": "png", "size_bytes": len(data)})


def _wait(data: bytes) -> Done:
    """Wait until there is such a file."""
    gate = Path(os.fsdecode(data.partition(b" ")[2]))
    while not gate.exists():
        time.sleep(0.01)
    return _sleep(b"sleep 0")


_ACTS = {
    "about": _about,
    "die": _die,
    "hoard": _hoard,
    "lie": _lie,
    "loop": _loop,
    "sleep": _sleep,
    "stop": _stop,
    "wait": _wait,
    "write": _write,
}

if __name__ == "__main__":
    tasks.TASKS = {**tasks.TASKS, "inspect": _obey}
    server.main()
