"""Serve the API with gunicorn: a few processes, many threads.

Threads suit it: database drivers block, uploads are decoded in processes of their own, and views, workers and the
command line can share code. An event stream holds a thread that sleeps on a queue, filled by the one reader in
`api.live.hub`; there are `stream_limit` threads for streams besides those for other requests, started as they are
needed. Greenlets or an event loop would save their stacks, but then each blocking call and each encoding would hold up
all other requests. A thread that waits for a slow client takes no place from others: `api.serving` sees to that.

The processes may be given a socket that is already bound, which keeps the address while they are replaced. SIGHUP
replaces them: each loads the app again and opens its own services. A process that stops ends its streams at once, whose
clients resume with the next process, and finishes the requests it has begun.
"""

import argparse
import gc
import json
import os
import resource
import sys
import threading
from contextlib import suppress
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from api.app import create_app
from api.http import problems
from api.services import services_of
from api.serving.bounds import Bounds
from api.serving.worker import PeerWorker
from shared import logs
from shared.addresses import authority, is_loopback
from shared.db.access import keys
from shared.db.base import connect
from shared.errors import AtelierError, HeadTooLarge, Misconfigured, RequestTimeout
from shared.settings import Settings

#: Connections per request that may be worked on: most keep-alive connections are idle, and need no thread.
_CONNECTIONS_PER_PLACE = 4
#: Requests that may wait for their clients, each with a thread, besides those that are worked on.
_MOST_WAITING = 512
#: How long an idle connection is kept, in seconds: longer than proxies keep theirs, so that they close first.
_KEEP_ALIVE_S = 75
#: How long a stopping process may take to finish its requests, in seconds; less than its supervisor waits.
_GRACE_S = 10
#: Open files to ask for where the system sets no limit, and those that are no connections.
_FILES, _OTHER_FILES = 65_536, 256


class _Worker(PeerWorker):
    """A gunicorn worker that ends its streams when it is asked to stop, or when its supervisor is gone."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self.method_queue.defer(self._end_streams)

    def is_parent_alive(self) -> bool:
        """Tell whether the supervisor lives; if not, make sure that this process ends, which nobody else would kill."""
        alive = bool(super().is_parent_alive())
        if not alive:
            self._end_streams()
            last = threading.Timer(_GRACE_S + 1, os._exit, (1,))
            last.daemon = True
            last.start()
        return alive

    def _end_streams(self) -> None:
        services_of(self.wsgi).hub.close()


class Server(BaseApplication):  # type: ignore[misc]  # ditto
    """The API on one address."""

    def __init__(self, settings: Settings, bind: str) -> None:
        """Prepare to serve on `bind`, an address as gunicorn writes it; `run` serves until SIGTERM."""
        self._settings = settings
        self._bind = bind
        self.bounds = _bounds(settings)
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options; its own access log stays off, since `api.http.access_log` says more."""
        options: dict[str, Any] = {
            "bind": self._bind,
            "worker_class": _Worker,
            "workers": self._settings.api_processes,
            "threads": self.bounds.threads,
            "worker_connections": self.bounds.connections,
            "keepalive": _KEEP_ALIVE_S,
            "sendfile": False,  # which would wait for a client in the kernel, beyond any bound
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
    settings.ensure_weights(here=False)
    ensure_guarded(settings)
    _allow_open_files()
    bind = authority(settings.host, settings.port) if listener_fd is None else f"fd://{listener_fd}"
    Server(settings, bind).run()


def ensure_guarded(settings: Settings) -> None:
    """Raise `Misconfigured` if the API would listen beyond this machine while no operator key exists."""
    if is_loopback(settings.host):
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


def _bounds(settings: Settings) -> Bounds:
    """Return what each process allows its clients."""
    places = settings.api_threads + settings.stream_limit
    wanted = _CONNECTIONS_PER_PLACE * places + _MOST_WAITING
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Bounds(
        head_s=settings.head_s,
        stall_s=settings.client_stall_s,
        idle_s=_KEEP_ALIVE_S,
        grace_s=_GRACE_S,
        places=places,
        most_waiting=_MOST_WAITING,
        connections=wanted if files == resource.RLIM_INFINITY else min(wanted, max(1, files - _OTHER_FILES)),
        late_head=_last_answer(RequestTimeout("The head of the request was not complete in time.")),
        large_head=_last_answer(HeadTooLarge()),
    )


def _last_answer(error: AtelierError) -> bytes:
    """Return the whole answer to a request that is not parsed, after which its connection is closed."""
    status = problems.status_of(type(error))
    body = json.dumps(problems.document(error))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Connection: close",
        f"Content-Type: {problems.MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", body)).encode()


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
    chosen = parser.parse_args()
    try:
        serve(Settings.load(), listener_fd=chosen.fd)
    except Misconfigured as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
