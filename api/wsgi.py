"""Serve the API with gunicorn: a few processes, many threads.

Threads suit it: requests wait for the database, whose drivers block, and pictures are decoded outside Python's lock.
An event stream holds a thread that sleeps on a queue, filled by the one reader of `api.live`: there are as many of
these threads besides those for all other requests, and none is made before it is needed. Greenlets or an event loop
would save their stacks, and make every driver and every decoding stop all others. The processes may be given a
socket that is bound already, which keeps the address while they are replaced; SIGHUP replaces them one by one.
"""

from __future__ import annotations

import argparse
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from api.app import create_app
from shared import logs
from shared.db import keys
from shared.db.base import connect
from shared.errors import Misconfigured
from shared.settings import Settings


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings, bind: str) -> None:
        self._settings = settings
        self._bind = bind
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": self._bind,
            "worker_class": "gthread",
            "workers": self._settings.api_processes,
            "threads": self._settings.api_threads + self._settings.stream_limit,
            "worker_connections": 4 * (self._settings.api_threads + self._settings.stream_limit),
            "keepalive": 15,
            "timeout": 60,
            "graceful_timeout": 3,  # an open event stream is resumed elsewhere and need not be waited for
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        logs.configure(self._settings.log_format, self._settings.log_level)
        return create_app(self._settings)


def serve(settings: Settings, *, listener_fd: int | None = None) -> None:
    """Serve until SIGTERM, on the settings' address or on a socket that is bound already."""
    ensure_guarded(settings)
    bind = f"{settings.host}:{settings.port}" if listener_fd is None else f"fd://{listener_fd}"
    _Server(settings, bind).run()


def ensure_guarded(settings: Settings) -> None:
    """Raise `Misconfigured` before others than this machine's users reach an API to which nobody has a key."""
    if settings.host in ("localhost", "::1") or settings.host.startswith("127."):
        return
    database = connect(settings.database_url)
    try:
        with database.reading() as session:
            guarded = keys.any_operator(session)
    finally:
        database.engine.dispose()
    if not guarded:
        raise Misconfigured(
            f"The API would listen on {settings.host}, and nobody has a key to it: "
            "make one with `atelier keys create NAME --role operator --database`, or listen on 127.0.0.1."
        )


def main() -> None:
    """Serve what the environment says: `python -m api.wsgi [--fd N]`."""
    parser = argparse.ArgumentParser(prog="python -m api.wsgi")
    parser.add_argument("--fd", type=int, help="a bound, listening socket to take over")
    serve(Settings.load(), listener_fd=parser.parse_args().fd)


if __name__ == "__main__":
    main()
