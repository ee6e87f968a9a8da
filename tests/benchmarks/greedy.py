"""One client that wants everything at once: `python -m tests.benchmarks.greedy` reads where, as JSON from stdin.

It opens streams and long polls, submits jobs of its highest priority with webhooks that nobody answers, retries what
has ended, uploads pictures and sends archives, each without a pause, until stdin ends. It prints `open` once all of
that goes on, and at the end how often the server answered with what.
"""

import io
import json
import os
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import httpx

from shared.imaging import codec
from tests.benchmarks.clients import connected, request_of
from tests.support.factories import picture

_STREAMS, _PATIENCE_S = 600, 60.0
#: Threads by what they do again and again.
_THREADS = {"wait": 8, "submit": 4, "retry": 2, "upload": 4, "archive": 2}
_MEMBERS = 50


class Greedy:
    """The client, and what it was answered."""

    def __init__(self, url: str, key: str, hook: str) -> None:
        """Upload a picture and submit a first job."""
        self._url, self._key, self._hook = url, key, hook
        self._http = self._client()
        self._numbers = count()
        self._image = self._upload(self._http).json()["id"]
        self._job = self._submit(self._http).json()["id"]
        batch = self._http.post("/v1/batches", json={"styles": [{"image": self._image}], "params": {"steps": 4}})
        self._batch = batch.raise_for_status().json()["id"]
        self._http.post(f"/v1/batches/{self._batch}/start").raise_for_status()
        self.answers: Counter[str] = Counter()

    def run(self, ending: threading.Event) -> None:
        """Do everything until the end, and say when all has begun."""
        streams = [connected(self._url) for _ in range(_STREAMS)]
        for stream in streams:
            stream.sendall(request_of(f"/v1/jobs/{self._job}/events", self._key))
        acts = {
            "wait": lambda http: http.get(f"/v1/jobs/{self._job}", params={"wait": 5}),
            "submit": self._submit,
            "retry": lambda http: http.post(f"/v1/jobs/{self._job}/retry"),
            "upload": self._upload,
            "archive": self._archive,
        }
        threads = [
            threading.Thread(target=self._again, args=(name, acts[name], ending))
            for name, many in _THREADS.items()
            for _ in range(many)
        ]
        for thread in threads:
            thread.start()
        print("open", flush=True)
        for thread in threads:
            thread.join()
        for stream in streams:
            stream.settimeout(1)
            with suppress(OSError):
                self.answers[f"stream {stream.recv(12)[-3:].decode()}"] += 1
            stream.close()

    def _again(self, name: str, act: Callable[[httpx.Client], httpx.Response], ending: threading.Event) -> None:
        with self._client() as http:
            while not ending.is_set():
                try:
                    answer = act(http)
                except httpx.HTTPError as error:
                    self.answers[f"{name} {type(error).__name__}"] += 1
                    continue
                self.answers[f"{name} {answer.status_code}"] += 1
                if answer.status_code == 429:  # it is greedy, but no flood
                    time.sleep(0.1)

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=_PATIENCE_S, headers={"Authorization": f"Bearer {self._key}"})

    def _picture(self) -> bytes:
        return codec.encode(picture(320, 240, seed=next(self._numbers)), format="png")

    def _upload(self, http: httpx.Client) -> httpx.Response:
        return http.post("/v1/images", content=self._picture(), headers={"Content-Type": "image/png"})

    def _submit(self, http: httpx.Client) -> httpx.Response:
        body: dict[str, Any] = {"content": self._image, "style": self._image, "priority": 100}
        return http.post("/v1/jobs", json=body | {"params": {"steps": 4}, "webhook": self._hook})

    def _archive(self, http: httpx.Client) -> httpx.Response:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for _ in range(_MEMBERS):
                archive.writestr(f"{os.urandom(8).hex()}.png", self._picture())
        headers = {"Content-Type": "application/zip"}
        return http.post(f"/v1/batches/{self._batch}/items", content=packed.getvalue(), headers=headers)


def main() -> None:
    """Be greedy until stdin ends."""
    greedy, ending = Greedy(**json.loads(sys.stdin.readline())), threading.Event()
    running = threading.Thread(target=greedy.run, args=(ending,))
    running.start()
    sys.stdin.read()
    ending.set()
    running.join()
    print(json.dumps(greedy.answers))


if __name__ == "__main__":
    main()
