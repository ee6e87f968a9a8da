"""The checks of `atelier doctor`: one function for each thing that a stack on this machine needs.

They repair, fetch and leave nothing. TensorFlow is examined in another process, because this package never loads it.

Invariant: every failed check says how to fix it.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from redis import RedisError
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from api.client import Client
from api.client.models import ClientError
from api.client.transport import without_password
from api.local import redis_server
from shared import machines
from shared.db import sqlite
from shared.db.base import connect
from shared.errors import AtelierError
from shared.messaging.progress import connect as connect_redis
from shared.painting.params import LAST_RESORT_WEIGHTS, WEIGHTS_NAMES
from shared.settings import Settings

#: Enough space for a run with its previews, results and weights, in bytes.
_LEAST_FREE_BYTES = 2**30
#: TensorFlow alone takes 5 to 20 s to load from a cold disk.
_PROBE_TIMEOUT_S = 120
_TENSORFLOWS = ("tensorflow", "tensorflow-cpu")


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` is None for a mere hint, and `mend` says what to do. `--json` prints the fields."""

    name: str
    ok: bool | None
    found: str
    mend: str = ""


def examine(settings: Settings, url: str) -> Iterator[Check]:
    """Check everything that a stack with these settings, at `url`, needs."""
    yield _python()
    yield from _tensorflow(settings)
    yield _redis(settings)
    yield _database(settings)
    yield _home(settings.home)
    yield _disk(settings.home)
    yield from _server(settings, url)


def _python() -> Check:
    machine = machines.current_machine()
    objection = machines.unsupported_reason(machine)
    return Check("Python", not objection, f"{platform.python_version()}, {machine.name}", objection)


def _tensorflow(settings: Settings) -> Iterator[Check]:
    """Check TensorFlow, the device and the weights, none of which the HTTP server needs."""
    found = [f"{name} {metadata.version(name)}" for name in _TENSORFLOWS if _installed(name)]
    if not found:
        yield Check("TensorFlow", False, "not installed", "Install the `cpu` or the `gpu` extra to paint here.")
        return
    yield Check("TensorFlow", True, ", ".join(found))
    try:
        probed = _probe(settings.weights_dir)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield Check("device", False, f"cannot be examined: {error}", "Run `python -m worker.doctor .` to see why.")
        return
    device = probed["device"]
    yield Check("device", True, f"{device['kind'].upper()}: {device['name']}")
    yield _weights(settings.weights, probed["cached"])


def _installed(name: str) -> bool:
    return any(metadata.distributions(name=name))


def _probe(weights_dir: Path) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "worker.doctor", str(weights_dir)]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    answer = subprocess.run(command, capture_output=True, check=True, timeout=_PROBE_TIMEOUT_S, env=env)  # noqa: S603
    probed: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return probed


def _weights(wanted: str, cached: dict[str, str]) -> Check:
    """Say which weights a worker would use, judging by the cache alone."""
    have = f"cached: {', '.join(cached)}" if cached else "none cached"
    if wanted == "auto":
        trained = next((name for name in cached if name != LAST_RESORT_WEIGHTS), None)
        mend = (
            "A worker fetches trained weights when it starts, as `atelier weights fetch` does; if that fails, "
            f"it paints with `{LAST_RESORT_WEIGHTS}`, the last resort."
        )
        return Check("weights", True if trained else None, f"auto, {have}{_not_better(trained)}", mend)
    if wanted in WEIGHTS_NAMES:
        ok = True if wanted in cached else None
        return Check("weights", ok, f"{wanted}, {have}", "A worker fetches or creates them when it starts.")
    exists = Path(os.path.expanduser(wanted)).is_file()  # noqa: PTH111 - never raises
    return Check("weights", exists, f"{wanted}{'' if exists else ': no such file'}", "Correct ATELIER_WEIGHTS.")


def _not_better(trained: str | None) -> str:
    """Say what must happen for a worker to use better weights than the best cached ones."""
    if trained in (None, "imagenet"):
        return ""
    return "; `imagenet` only if its publisher or the mirror answers when a worker starts"


def _redis(settings: Settings) -> Check:
    """Check the binary if the stack starts its own server, else the server."""
    if settings.redis_url == f"unix://{settings.home}/redis.sock":
        try:
            binary = redis_server.binary()
            shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
        except (AtelierError, OSError, subprocess.SubprocessError) as error:
            return Check("Redis", False, "no server to start", str(error))
        return Check("Redis", True, f"{_version(shown.stdout)}, {binary}")
    try:
        client = connect_redis(settings.redis_url)
        server = client.info("server")
        client.close()
    except (RedisError, ValueError) as error:
        return Check("Redis", False, f"no answer: {error}", "Start that server, or correct ATELIER_REDIS_URL.")
    # for compatibility, Valkey also reports itself as Redis 7.2.4
    version = f"Valkey {server['valkey_version']}" if "valkey_version" in server else f"Redis {server['redis_version']}"
    return Check("Redis", True, f"{version}, {settings.redis_url.rpartition('@')[2]}")


def _version(line: str) -> str:
    """Parse "Valkey server v=9.1.2 sha=…" or "Redis server v=7.0.15 sha=…"."""
    words = line.split()
    version = next((word[2:] for word in words if word.startswith("v=")), "of unknown version")
    return " ".join([*words[:1], version])


def _database(settings: Settings) -> Check:
    try:
        url = make_url(settings.database_url)
        if url.get_backend_name() == "sqlite":
            return _sqlite(str(url.database))
        connect(settings.database_url).check()
    except (AtelierError, SQLAlchemyError, ImportError, ValueError) as error:
        return Check("database", False, str(error), "Start that server, or correct ATELIER_DATABASE_URL.")
    return Check("database", True, url.render_as_string(hide_password=True))


def _sqlite(path: str) -> Check:
    library = sqlite.driver()
    found = f"SQLite {library.sqlite_version}, {path}"
    if sqlite.can_use_wal(library.sqlite_version_info):
        return Check("database", True, found)
    slower = f"{found}, with a rollback journal: slower, since this version's write-ahead log can corrupt a database"
    return Check("database", None, slower, sqlite.FIX)


def _home(home: Path) -> Check:
    existing = _nearest(home)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        mend = "Set ATELIER_HOME to a folder you may write to."
        return Check("home", False, f"{home} cannot be written: {error.strerror}", mend)
    return Check("home", True, str(home) if home.exists() else f"{home}, not created yet")


def _disk(home: Path) -> Check:
    free_bytes = shutil.disk_usage(_nearest(home)).free
    mend = "Free at least 1 GB, or set ATELIER_HOME to another disk."
    return Check("disk", free_bytes >= _LEAST_FREE_BYTES, f"{free_bytes / 1e9:.1f} GB free", mend)


def _nearest(folder: Path) -> Path:
    """Return the folder or its nearest existing parent."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _server(settings: Settings, url: str) -> Iterator[Check]:
    """Check the server; if none answers, check that its port is free."""
    try:
        with Client(url, timeout_s=5) as client:
            readiness = client.readiness()
            url = without_password(url)
    except ClientError as error:
        yield Check("server", None, f"none at {without_password(url)}", f"Start one with `atelier up`. ({error})")
        yield _port(settings)
        return
    down = [_part(name, part) for name, part in readiness.parts.items() if not part.get("ok")]
    found = f"{readiness.state} at {url}" + (f", without {', '.join(down)}" if down else "")
    mend = f"See {url}/readyz and the logs in {settings.home / 'logs'}."
    yield Check("server", readiness.state == "ready", found, mend)


def _part(name: str, part: dict[str, Any]) -> str:
    """Name a part that does not work, with the reason if the server gives one."""
    return f"{name} ({part['reason']})" if part.get("reason") else name


def _port(settings: Settings) -> Check:
    address = f"port {settings.port} on {settings.host}"
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with socket.create_server((settings.host, settings.port), family=family):
            pass
    except OSError as error:
        mend = "Stop what listens there, or choose another with --port or ATELIER_PORT."
        return Check("port", False, f"{address} is not available: {error.strerror}", mend)
    return Check("port", True, f"{address} is free")
