"""A real Redis server on a private Unix socket, for as long as a `with` block lasts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.local import redis_server
from tests.support.waiting import wait_until


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Start a server that keeps its data in `folder`; give its URL."""
    socket = folder / "redis.sock"
    server = subprocess.Popen(redis_server.command(socket, folder), stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, "Redis opens its socket")
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(10)
