"""Serve the API with gunicorn: a few processes, many threads.

Threads suit it: requests wait for the database, whose drivers block, pictures are decoded outside Python's lock, and
one model holds for views, workers and the command line. An event stream holds a thread that sleeps on a queue, filled
by the one reader of `api.live.hub`: there are as many of these threads besides those for all other requests, and none
is made before it is needed. Greenlets or an event loop would save their stacks, and let every blocking call and every
decoding hold up all others.

The processes may be given a socket that is bound already, which keeps the address while they are replaced. SIGHUP
replaces them: each loads the app anew and opens its own services. One that stops ends its streams at once, whose
clients resume with the next, and answers what it has begun.
"""

from __future__ import annotations

import argparse
import gc
import ipaddress
import resource
from contextlib import suppress
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from api.app import create_app
from shared import logs
from shared.db.access import keys
from shared.db.base import connect
from shared.errors import Misconfigured
from shared.settings import Settings

#: Connections for each thread: most of those that are kept open wait for their next request, and need none.
_CONNECTIONS_PER_THREAD = 4
#: How long a connection waits for its next request, in seconds: longer than proxies do, so that they part first.
_KEEP_S = 75
#: How long a process that stops answers what it has begun, in seconds; less than what its supervisor waits.
_GRACE_S = 10
#: Open files where the system names no bound.
_FILES = 65_536


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A process that ends its streams when it is asked to stop."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._end_streams)

    def _end_streams(self) -> None:
        self.wsgi.extensions["atelier"].hub.close()


class Server(BaseApplication):  # type: ignore[misc]  # ditto
    """The API on one address."""

    def __init__(self, settings: Settings, bind: str) -> None:
        """Serve what `settings` say on `bind`, as gunicorn names addresses; `run` does so until SIGTERM."""
        self._settings = settings
        self._bind = bind
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn our options; its own log of requests stays off, for `api.http.access_log` tells more."""
        threads = self._settings.api_threads + self._settings.stream_limit
        options: dict[str, Any] = {
            "bind": self._bind,
            "worker_class": _Worker,
            "workers": self._settings.api_processes,
            "threads": threads,
            "worker_connections": _CONNECTIONS_PER_THREAD * threads,
            "keepalive": _KEEP_S,
            "timeout": 60,
            "graceful_timeout": _GRACE_S,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in each process anew, and have what it is made of searched for garbage no more.

        All of it stays to the end, and each search held every request up for a tenth of a second.
        """
        logs.configure(self._settings.log_format, self._settings.log_level)
        app = create_app(self._settings)
        gc.collect()
        gc.freeze()
        return app


def serve(settings: Settings, *, listener_fd: int | None = None) -> None:
    """Serve until SIGTERM, on the settings' address or on a socket that is bound already."""
    ensure_guarded(settings)
    _allow_open_files()
    bind = f"{settings.host}:{settings.port}" if listener_fd is None else f"fd://{listener_fd}"
    Server(settings, bind).run()


def ensure_guarded(settings: Settings) -> None:
    """Raise `Misconfigured` before others than this machine's users reach an API to which nobody has a key."""
    if _is_loopback(settings.host):
        return
    database = connect(settings.database_url)
    try:
        with database.reading() as session:
            keys.ensure_table(session)
            guarded = keys.any_operator(session)
    finally:
        database.engine.dispose()
    if not guarded:
        raise Misconfigured(
            f"The API would listen on {settings.host}, and nobody has a key to it: "
            "make one with `atelier keys create NAME --role operator --database`, or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    """Say whether a host is this machine alone; of names, which anybody may point anywhere, `localhost` is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_open_files() -> None:
    """Let the process hold as many connections as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Serve what the environment says: `python -m api.wsgi [--fd N]`."""
    parser = argparse.ArgumentParser(prog="python -m api.wsgi")
    parser.add_argument("--fd", type=int, help="a bound, listening socket to take over")
    serve(Settings.load(), listener_fd=parser.parse_args().fd)


if __name__ == "__main__":
    main()
