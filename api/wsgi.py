"""Serve the API with gunicorn: a few processes, many threads.

Threads suit it: database drivers block, uploads are decoded in processes of their own, and views, workers and the
command line can share code. An event stream holds a thread that sleeps on a queue, filled by the one reader in
`api.live.hub`; there are `stream_limit` threads for streams besides those for other requests, started as they are
needed. Greenlets or an event loop would save their stacks, but then each blocking call and each encoding would hold up
all other requests.

The processes may be given a socket that is already bound, which keeps the address while they are replaced. SIGHUP
replaces them: each loads the app again and opens its own services. A process that stops ends its streams at once, whose
clients resume with the next process, and finishes the requests it has begun.
"""

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
from api.services import services_of
from shared import logs
from shared.addresses import authority
from shared.db.access import keys
from shared.db.base import connect
from shared.errors import Misconfigured
from shared.settings import Settings

#: Connections per thread: most keep-alive connections are idle, and need no thread.
_CONNECTIONS_PER_THREAD = 4
#: How long an idle connection is kept, in seconds: longer than proxies keep theirs, so that they close first.
_KEEP_ALIVE_S = 75
#: How long a stopping process may take to finish its requests, in seconds; less than its supervisor waits.
_GRACE_S = 10
#: Open files to ask for where the system sets no limit.
_FILES = 65_536


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A gunicorn worker that ends its streams when it is asked to stop."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._end_streams)

    def _end_streams(self) -> None:
        services_of(self.wsgi).hub.close()


class Server(BaseApplication):  # type: ignore[misc]  # ditto
    """The API on one address."""

    def __init__(self, settings: Settings, bind: str) -> None:
        """Prepare to serve on `bind`, an address as gunicorn writes it; `run` serves until SIGTERM."""
        self._settings = settings
        self._bind = bind
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options; its own access log stays off, since `api.http.access_log` says more."""
        threads = self._settings.api_threads + self._settings.stream_limit
        options: dict[str, Any] = {
            "bind": self._bind,
            "worker_class": _Worker,
            "workers": self._settings.api_processes,
            "threads": threads,
            "worker_connections": _CONNECTIONS_PER_THREAD * threads,
            "keepalive": _KEEP_ALIVE_S,
            "timeout": 60,
            "graceful_timeout": _GRACE_S,
            "control_socket_disable": True,
            "forwarded_allow_ips": "",  # what proxies say is judged in `api.http.proxies`
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in each process anew, and exempt it from garbage collection.

        It all lives as long as the process, and each collection held up every request for a tenth of a second.
        """
        logs.configure(self._settings.log_format, self._settings.log_level)
        app = create_app(self._settings)
        services_of(app).decoders.warm_up()
        gc.collect()
        gc.freeze()
        return app


def serve(settings: Settings, *, listener_fd: int | None = None) -> None:
    """Serve until SIGTERM, on the settings' address or on a socket that is already bound."""
    ensure_guarded(settings)
    _allow_open_files()
    bind = authority(settings.host, settings.port) if listener_fd is None else f"fd://{listener_fd}"
    Server(settings, bind).run()


def ensure_guarded(settings: Settings) -> None:
    """Raise `Misconfigured` if the API would listen beyond this machine while no operator key exists."""
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
            f"The API would listen on {settings.host}, but no operator key exists: "
            "create one with `atelier keys create NAME --role operator --database`, or listen on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    """Say whether a host is this machine alone; of names, only `localhost` is trusted to be."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_open_files() -> None:
    """Raise the process's limit of open files, and so of connections, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Serve as the environment says: `python -m api.wsgi [--fd N]`."""
    parser = argparse.ArgumentParser(prog="python -m api.wsgi")
    parser.add_argument("--fd", type=int, help="a bound, listening socket to serve on")
    serve(Settings.load(), listener_fd=parser.parse_args().fd)


if __name__ == "__main__":
    main()
