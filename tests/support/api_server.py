"""The API as it is served: `api.wsgi` in a process of its own, over TCP."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from shared.settings import Settings
from tests.support.waiting import wait_until


class Served:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, key: str, log: Path) -> None:
        self.process, self.url, self.log = process, url, log
        self.headers = {"Authorization": f"Bearer {key}"}

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=20, **options)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged under that name."""
        found = []
        for line in self.log.read_text().splitlines():
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return [line for line in found if line.get("event") == event]


@contextmanager
def serving(
    settings: Settings, key: str, *, command: Sequence[str] = ("-m", "api.wsgi"), **changed: Any
) -> Iterator[Served]:
    """Serve what `settings` say, but for what is `changed`, until the end of the block."""
    given = settings.model_dump(include={"home", "database_url", "redis_url", "storage_url"}) | changed
    env = os.environ | {f"ATELIER_{name.upper()}": str(value) for name, value in given.items()}
    log = Path(settings.home) / "served.log"
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, log.open("wb") as output:
        fd = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, *command, "--fd", str(fd)],
            env=env | {"ATELIER_LOG_FORMAT": "json"},
            pass_fds=[fd],
            stdout=output,
            stderr=output,
        )
        served = Served(process, f"http://127.0.0.1:{listener.getsockname()[1]}", key, log)
        try:
            wait_until(_answers(served), "the server answers")
            yield served
        finally:
            process.terminate()
            process.wait(120)


def _answers(served: Served) -> Callable[[], bool]:
    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{served.url}/healthz", timeout=20).status_code == 200
        return False

    return answers
