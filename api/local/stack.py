"""The embedded stack: Redis, API, workers and maintenance as supervised child processes of one command.

It needs no root, Docker or system service: SQLite, a private Redis socket and a storage folder live below one home.
Problems with the home and the port are reported in a sentence before the first child starts.

Invariant: there is one stack per home, and leaving the `with` block ends every child.
"""

import errno
import fcntl
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import ProxyHandler, build_opener

from redis import RedisError

import migrations
from api.local import operator_key, redis_server
from api.local.child_process import Child
from api.local.home import ADDRESS_FILE, KEY_FILE, make_private
from shared import logs
from shared.addresses import authority
from shared.db.base import connect as connect_database
from shared.errors import Misconfigured
from shared.messaging.progress import connect
from shared.settings import Settings

#: Longest wait for Redis and the API to answer at start, in seconds.
_START_S = 60.0
#: Asks the API how it is: never through a proxy, which cannot reach this machine's own addresses.
_opener = build_opener(ProxyHandler({}))

log = logs.get(__name__)


class Stack:
    """All processes of one home: `with Stack(settings) as stack: ... stack.url`."""

    def __init__(self, settings: Settings, *, workers: int = 1) -> None:
        """Prepare a stack with that many workers; entering the context starts it."""
        self.settings = settings
        self.url = ""
        #: The operator's key.
        self.key = ""
        self._workers = workers
        self._children: list[Child] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start everything and return once the API answers; raise `Misconfigured` if that fails."""
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: TracebackType | type[BaseException] | BaseException | None) -> None:
        """End every child."""
        self._stop()

    def check(self) -> list[Child]:
        """Restart dead children; return those whose death was just noticed."""
        dead = [child for child in self._children if child.restart_if_dead()]
        for child in dead:
            log.error("process_died", process=child.name, exit_code=child.exit_code, log=str(child.log))
        return dead

    def _start(self) -> None:
        self.settings.ensure_weights()
        home = self.settings.home
        _prepare_home(home)
        self._open.enter_context(_lock(home / "up.lock"))
        listener = self._open.enter_context(_listen(self.settings.host, self.settings.port))
        port = listener.getsockname()[1]
        self.url = f"http://{authority(self.settings.host, port)}"
        if self.settings.redis_url == f"unix://{home}/redis.sock":
            self._start_redis(home)
        with _explained(home):
            migrations.upgrade(self.settings.database_url)
            self._make_key()
        # -P: import nothing from the current folder
        self._launch("api", [sys.executable, "-P", "-m", "api.wsgi", "--fd", str(listener.fileno())], listener.fileno())
        self._launch("maintenance", [sys.executable, "-P", "-m", "worker", "maintenance"])
        for number in range(1, self._workers + 1):
            self._launch(f"worker-{number}", [sys.executable, "-P", "-m", "worker", "paint"])
        self._await("api", self._answers)
        address = home / ADDRESS_FILE
        address.write_text(self.url + "\n", encoding="utf-8")
        self._open.callback(address.unlink, missing_ok=True)

    def _make_key(self) -> None:
        database = connect_database(self.settings.database_url)
        self.key = operator_key.ensure(database, self.settings.home)
        database.engine.dispose()

    def _start_redis(self, home: Path) -> None:
        path, folder = home / "redis.sock", home / "redis"
        folder.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        self._launch("redis", redis_server.command(path, folder))
        client = connect(self.settings.redis_url)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except RedisError:
                return False

        self._await("redis", answers)
        client.close()

    def _launch(self, name: str, command: list[str], *pass_fds: int) -> None:
        ours = {f"ATELIER_{name.upper()}": str(value) for name, value in self.settings.model_dump().items()}
        log_file = self.settings.home / "logs" / f"{name}.log"
        child = Child(name, command, log=log_file, env={**os.environ, **ours}, pass_fds=pass_fds)
        child.start()
        self._children.append(child)

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        child = next(child for child in self._children if child.name == name)
        deadline = time.monotonic() + _START_S
        while not ready():
            if not child.alive or time.monotonic() > deadline:
                raise Misconfigured(f"The {name} process did not start. The end of {child.log}:\n{child.log_tail()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with _opener.open(f"{self.url}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _stop(self) -> None:
        """End the children, Redis last, because the others write to it until they end."""
        redis = [child for child in self._children if child.name == "redis"]
        for group in ([child for child in self._children if child not in redis], redis):
            for child in group:
                child.terminate()
            for child in group:
                child.end()
        self._children = []
        self._open.close()


def run(settings: Settings, *, workers: int = 1, announce: Callable[[str], None] = print) -> None:
    """Run the stack until Ctrl-C or SIGTERM, restarting processes that die."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    with Stack(settings, workers=workers) as stack:
        announce(f"Atelier runs at {settings.public_url or stack.url} · data in {settings.home} · Ctrl-C stops it")
        announce(f"Open it in a browser and sign in with the key in {settings.home / KEY_FILE}")
        while not ending.wait(0.5):
            for child in stack.check():
                announce(f"{child.name} died (exit code {child.exit_code}) and is restarted; see {child.log}")
        announce("Stopping …")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock on a home, until the context or this process ends; raise `Misconfigured` if it is taken."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"Another Atelier is running in {path.parent}: stop it, or set ATELIER_HOME to another folder."
            ) from None
        yield


@contextmanager
def _explained(home: Path) -> Iterator[None]:
    """Raise an `OSError` of the block as `Misconfigured`, with a sentence that says how to fix it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Misconfigured(f"The disk of {home} is full: free space, or set ATELIER_HOME elsewhere.") from None
        reason = error.strerror or error
        raise Misconfigured(
            f"{home} cannot be used ({reason}): set ATELIER_HOME to a folder you may write to."
        ) from None


def _prepare_home(home: Path) -> None:
    with _explained(home):
        for folder in (home, home / "logs"):
            make_private(folder)
        probe = home / ".probe"
        probe.write_bytes(bytes(2**20))  # enough to notice a full disk
        probe.unlink()


def _listen(host: str, port: int) -> socket.socket:
    """Bind the API's socket here: a taken port is noticed at once, and a restarted API keeps the address."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        fix = "stop what listens there, or choose another with --port or ATELIER_PORT"
        raise Misconfigured(f"Port {port} on {host} is not available ({error.strerror}): {fix}.") from None
    listener.listen(1024)
    return listener
