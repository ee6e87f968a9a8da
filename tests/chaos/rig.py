"""A whole Atelier of real processes in a fresh home, made to be killed, frozen and judged.

`with Rig(...) as rig:` starts Redis, SQLite or PostgreSQL, API processes, maintenance and workers, each in a
session of its own with its own log. A supervisor thread starts what died again, as systemd or Compose would.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

import migrations
from api.client import Client
from api.local import operator_key, redis_server
from shared.db import workers
from shared.db.base import connect
from shared.db.jobs import queries
from shared.db.models import Job
from shared.imaging import codec
from shared.messaging import progress
from shared.settings import Settings
from shared.storage.store import open_store
from tests.support.factories import picture
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

PNG = codec.encode(picture(), format="png")


class Process:
    """One process of the rig, started again whenever it is dead and wanted."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], log: Path) -> None:
        self.name, self.wanted, self.deaths = name, True, 0
        self._command, self._env, self._log = command, env, log
        self._running: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            self._start()
            self.wanted = True

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    @property
    def pid(self) -> int:
        assert self._running is not None
        return self._running.pid

    @property
    def exit_code(self) -> int | None:
        assert self._running is not None
        return self._running.poll()

    def revive(self) -> None:
        with self._lock:  # or a process started by hand would be started twice
            if self.wanted and self.exit_code is not None:
                self.deaths += 1
                self._start()

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def painters(self) -> list[psutil.Process]:
        """A worker's painting children."""
        found = []
        for process in self.family()[1:]:
            with suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def signal(self, number: signal.Signals, processes: list[psutil.Process] | None = None) -> None:
        """Signal the given processes, by default the whole family, the parent first."""
        for process in self.family() if processes is None else processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._running is not None
        self._running.wait(10)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def terminate(self, timeout_s: float = 60.0) -> int:
        """Ask it to end, for good; return its exit code."""
        with self._lock:
            self.wanted = False
        assert self._running is not None
        self._running.terminate()
        return self._running.wait(timeout_s)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


class Rig:
    """The processes, and what the proofs ask of them."""

    def __init__(
        self, *, database: str = "sqlite", apis: int = 1, maintenances: int = 1, painters: int = 1, **settings: object
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="atelier-chaos-"))
        self.postgres = PostgresServer(durable=True) if database == "postgres" else None
        self._counts = {"maintenance": maintenances, "worker": painters}
        self._ports = [_free_port() for _ in range(apis)]
        self._given = {"engine": "null", "lease_s": 5.0, "checkpoint_s": 2.0, "redispatch_after_s": 3.0, **settings}
        self.processes: dict[str, Process] = {}
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        if self.postgres:
            self.postgres.start()
            self._given["database_url"] = self.postgres.create_database("atelier")
        self.settings = Settings.load(home=self.home, log_format="json", **self._given)
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
        self.env |= {f"ATELIER_{name.upper()}": str(value) for name, value in self.settings.model_dump().items()}
        self.env["TMPDIR"] = str(self.home / "tmp")  # so that what the killed leave goes with the home
        (self.home / "tmp").mkdir()
        (self.home / "logs").mkdir()
        (self.home / "redis").mkdir()
        migrations.upgrade(self.settings.database_url)
        self.database = connect(self.settings.database_url)
        self.key = operator_key.ensure(self.database, self.home)
        self.store = open_store(self.settings.storage_url)
        self.redis = progress.connect(self.settings.redis_url)
        self.add("redis", redis_server.command(self.home / "redis.sock", self.home / "redis"))
        for port in self._ports:
            command = [sys.executable, "-m", "api.wsgi"]
            self.add(f"api-{port}", command, ATELIER_PORT=str(port))
        for name in ("maintenance", "worker"):
            kind = "paint" if name == "worker" else name
            for number in range(1, self._counts[name] + 1):
                self.add(
                    f"{name}-{number}", [sys.executable, "-m", "worker", kind], ATELIER_WORKER_NAME=f"{name}-{number}"
                )
        threading.Thread(target=self._supervise, name="supervisor", daemon=True).start()
        self.wait_ready()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ending.set()
        for process in self.processes.values():
            process.wanted = False
            process.thaw()
            process.kill()
        if self.postgres:
            self.postgres.__exit__(None, None, None)
        self.database.engine.dispose()
        self.redis.close()
        if kind is None:
            shutil.rmtree(self.home, ignore_errors=True)
        else:
            print(f"what was left is in {self.home}")

    def add(self, name: str, command: list[str], **env: str) -> Process:
        """Start a process and keep it running."""
        process = Process(name, command, {**self.env, **env}, self.home / "logs" / f"{name}.log")
        self.processes[name] = process
        process.start()
        return process

    def wait_ready(self) -> None:
        """Wait until every API answers and every worker is ready."""
        for url in self.urls:
            wait_until(lambda url=url: _answers(url), f"{url} answers", timeout_s=120)
        wait_until(lambda: len(self.ready_workers()) == self._counts["worker"], "the workers are ready", timeout_s=240)

    def ready_workers(self) -> list[str]:
        with self.database.reading() as session:
            return [worker.name for worker in workers.list_alive(session) if worker.about]

    def _supervise(self) -> None:
        while not self._ending.wait(0.3):
            for process in list(self.processes.values()):
                process.revive()

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    def client(self) -> Client:
        return Client(self.urls[0], self.key)

    @property
    def worker(self) -> Process:
        return self.processes["worker-1"]

    def wipe_redis(self) -> None:
        """Kill Redis; it comes back empty."""
        redis = self.processes["redis"]
        redis.wanted = False
        redis.kill()
        shutil.rmtree(self.home / "redis")
        (self.home / "redis").mkdir()
        redis.start()

    def submit(self, client: Client, *, steps: int = 4, **options: object) -> str:
        """Submit a small job; return its id."""
        return client.submit(PNG, [PNG], preset="classic", params={"steps": steps, "size": 32}, **options).id

    def job(self, job_id: str) -> Job:
        with self.database.reading() as session:
            return queries.get_job(session, job_id)

    def wait_job(self, job_id: str, reached: Callable[[Job], object], what: str, timeout_s: float = 120.0) -> Job:
        """Wait until a job is as wanted, and return it."""
        return wait_until(lambda: (now := self.job(job_id)) and reached(now) and now, what, timeout_s=timeout_s)

    def wait_running(self, job_id: str, *, attempt: int = 1, step: int = 1, timeout_s: float = 120.0) -> Job:
        def runs(job: Job) -> bool:
            return job.state == "running" and job.attempt >= attempt and (job.progress or {}).get("step", 0) >= step

        return self.wait_job(job_id, runs, f"attempt {attempt} makes step {step}", timeout_s)

    def wait_state(self, job_id: str, state: str, timeout_s: float = 120.0) -> Job:
        return self.wait_job(job_id, lambda job: job.state == state, f"the job is {state}", timeout_s)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(url: str) -> bool:
    import httpx

    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz", timeout=2).status_code == 200
    return False
