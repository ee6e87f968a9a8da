"""Very many HTTP clients in one process, on plain sockets: cheap enough to leave the machine to the server.

`python -m tests.benchmarks.clients follow|ask` reads what to do as JSON from stdin and prints what was found.
"""

import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

#: When a step was told, as the writer notes it in seconds since 1970.
_AT = re.compile(rb'"at":([0-9.]+)}')
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)


def follow(url: str, key: str, jobs: list[str], clients: int, until: float) -> dict[str, list[float]]:
    """Follow these jobs until that moment; return the delay of each step, in ms, and when each was noted.

    A line is printed once all streams are open.
    """
    waiting = selectors.DefaultSelector()
    for number in range(clients):
        connection = connected(url)
        connection.sendall(request_of(f"/v1/jobs/{jobs[number % len(jobs)]}/events", key))
        waiting.register(connection, selectors.EVENT_READ, bytearray())
    delays: list[float] = []
    moments: list[float] = []
    opened: set[int] = set()
    while time.time() < until:
        for ready, _ in waiting.select(0.5):
            data = ready.fileobj.recv(65536)  # type: ignore[union-attr]
            now = time.time()
            assert data, "a stream ended"
            if ready.fd not in opened:
                assert data.startswith(b"HTTP/1.1 200"), data
                opened.add(ready.fd)
                if len(opened) == clients:
                    print("open", flush=True)
            ready.data.extend(data)
            found = [float(at) for at in _AT.findall(ready.data)]
            del ready.data[: ready.data.rfind(b"\n\n") + 2]
            delays += [1000 * (now - at) for at in found]
            moments += found
    return {"delays": delays, "moments": moments}


def ask(url: str, key: str, path: str, clients: int, until: float, etag: str = "") -> dict[str, float]:
    """Ask for `path` again and again over connections that are kept, until that moment; return answers a second."""
    waiting = selectors.DefaultSelector()
    request = request_of(path, key, etag)
    for _ in range(clients):
        connection = connected(url)
        connection.sendall(request)
        waiting.register(connection, selectors.EVENT_READ, bytearray())
    answers, started = 0, time.time()
    wanted = b"HTTP/1.1 304" if etag else b"HTTP/1.1 200"
    while (now := time.time()) < until:
        for ready, _ in waiting.select(0.5):
            ready.data.extend(ready.fileobj.recv(65536))  # type: ignore[union-attr]
            if _is_whole(ready.data):
                assert ready.data.startswith(wanted), bytes(ready.data)
                ready.data.clear()
                answers += 1
                ready.fileobj.sendall(request)  # type: ignore[union-attr]
    return {"rate": answers / (now - started)}


def connected(url: str) -> socket.socket:
    """Connect to the server at `url`."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30)


def request_of(path: str, key: str, etag: str = "") -> bytes:
    """Write a GET request."""
    seen = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n{seen}\r\n".encode()


def _is_whole(answer: bytearray) -> bool:
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH.search(answer, 0, head)
    return len(answer) == head + 4 + (int(length[1]) if length and not answer.startswith(b"HTTP/1.1 304") else 0)


if __name__ == "__main__":
    act: Callable[..., object] = {"follow": follow, "ask": ask}[sys.argv[1]]
    print(json.dumps(act(**json.load(sys.stdin))))
