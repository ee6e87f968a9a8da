"""A real Redis server on a private Unix socket, for as long as a `with` block lasts, and what waits in it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from api.local import redis_server
from shared.messaging.broker import RANK_KEYS
from tests.support.waiting import wait_until


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Start a server that keeps its data in `folder`; give its URL."""
    with redis_process(folder):
        yield f"unix://{folder}/redis.sock"


@contextmanager
def redis_process(folder: Path) -> Iterator[subprocess.Popen]:
    """Start such a server, at `redis.sock` in `folder`; give its process, which may be frozen."""
    socket = folder / "redis.sock"
    process = subprocess.Popen(redis_server.command(socket, folder), stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, "Redis opens its socket")
        yield process
    finally:
        process.kill()
        process.wait(10)


def messages_in(redis: Redis) -> int:
    """Return how many messages wait in the broker, of all ranks."""
    return sum(redis.llen(key) for key in RANK_KEYS)
