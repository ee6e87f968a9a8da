"""Carries out what `atelier batch` has planned: uploads side by side, fetches results as they come.

Invariant: a result is a whole file of its final name, or not there; so whatever ends this, the same command goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from api.cli.display.batch_bar import MOST_LINES, BatchBar
from api.client import Client, ItemResult
from api.client.models import ApiProblem, ClientError
from shared import ids

#: Uploads at a time; items told to the server at a time; and how often the running pictures are asked for, in seconds.
_UPLOADS, _CHUNK, _LOOK_EVERY_S = 4, 64, 1.0

Connect = Callable[[], Client]


class Trouble(NamedTuple):
    """A picture that did not come out, and why."""

    key: str
    code: str
    message: str


class BatchRun:
    """One call of the command, on a batch that is open or begun."""

    def __init__(self, connect: Connect, batch_id: str, places: Mapping[str, Path], bar: BatchBar) -> None:
        """Fetch the results of a batch to `places`, by their keys; `connect` makes a client for each thread."""
        self._connect, self._batch_id, self._places, self._bar = connect, batch_id, places, bar
        self._own = threading.local()
        self._ending = threading.Event()
        self._started = False
        self._seen: set[str] = set()
        self.troubles: list[Trouble] = []

    def run(self, pictures: Mapping[str, Path]) -> list[Trouble]:
        """Upload `pictures`, add them, start, and fetch what comes out until the batch has ended; return troubles."""
        watching = threading.Thread(target=self._watch, name="watch", daemon=True)
        watching.start()
        with ThreadPoolExecutor(1) as background:
            uploading = background.submit(self._upload, pictures)
            try:
                with self._connect() as client:
                    self._fetch_all(client, uploading)
            finally:  # whatever ends it, the threads come to their end
                self._ending.set()
                watching.join(5)
            uploading.result()
        return self.troubles

    def upload_only(self, pictures: Mapping[str, Path]) -> list[Trouble]:
        """Upload `pictures`, add them and start."""
        self._upload(pictures)
        return self.troubles

    def _fetch_all(self, client: Client, uploading: Future[None]) -> None:
        while True:
            uploaded = uploading.done()
            if self._fetch(client) and uploaded:
                return
            self._ending.wait(_LOOK_EVERY_S)

    # -- in

    def _upload(self, pictures: Mapping[str, Path]) -> None:
        with self._connect() as client:
            try:
                with ThreadPoolExecutor(_UPLOADS) as pool:
                    for chunk in _chunks(list(pictures)):
                        if self._ending.is_set():
                            return
                        self._add(client, pool, {key: pictures[key] for key in chunk})
            finally:  # a batch without items would never end, and one that is open neither
                if not client.batch(self._batch_id).counts.total:
                    client.control_batch(self._batch_id, "cancel")

    def _add(self, client: Client, pool: Executor, pictures: Mapping[str, Path]) -> None:
        found = pool.map(lambda key: self._uploaded(key, pictures[key]), pictures)
        items = [{"key": key, "content": image} for key, image in zip(pictures, found, strict=True) if image]
        added = client.add_items(self._batch_id, items)
        for error in added.errors:
            self._give_up(Trouble(str(error.key), error.code, error.detail))
        if not self._started and added.added + added.existing:
            self._started = True
            if client.batch(self._batch_id).state == "open":
                client.control_batch(self._batch_id, "start")

    def _uploaded(self, key: str, path: Path) -> str | None:
        """Have the server keep a picture, unless it does already; None if it is none."""
        client = self._client()
        try:
            data = path.read_bytes()
            image_id = ids.image_id(data)
            if not _knows(client, image_id):
                image_id = client.upload(data).id
        except OSError as error:
            self._give_up(Trouble(key, "unreadable", error.strerror or str(error)))
            return None
        except ApiProblem as problem:
            if problem.status in (401, 403, 507):
                raise
            self._give_up(Trouble(key, problem.code, str(problem)))
            return None
        finally:
            self._bar.uploaded()
        return image_id

    def _client(self) -> Client:
        if not hasattr(self._own, "client"):
            self._own.client = self._connect()
        client: Client = self._own.client
        return client

    # -- out

    def _fetch(self, client: Client) -> bool:
        """Fetch results until the batch has ended, or breaks off because it has not begun; say whether it has ended."""
        for result in client.batch_results(self._batch_id, follow=True):
            if result.key in self._seen or result.key not in self._places:
                continue
            self._seen.add(result.key)
            place = self._places[result.key]
            if result.state != "succeeded":
                error = result.error
                self._give_up(
                    Trouble(result.key, error.code if error else result.state, error.message if error else "")
                )
            else:
                self._save(client, result, place)
        return client.batch(self._batch_id).ended_at is not None

    def _save(self, client: Client, result: ItemResult, place: Path) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            client.download(result.job_id, place)
        except ApiProblem as problem:  # its files have expired, or somebody has deleted it
            self._give_up(Trouble(result.key, problem.code, str(problem)))
        else:
            self._bar.ended()

    def _give_up(self, trouble: Trouble) -> None:
        self.troubles.append(trouble)
        self._bar.ended()

    def _watch(self) -> None:
        """Show what is being painted; that it cannot be asked for now is no trouble."""
        with self._connect() as client:
            while not self._ending.wait(_LOOK_EVERY_S):
                try:
                    self._bar.running(list(client.batch_items(self._batch_id, states=["running"], limit=MOST_LINES)))
                except ClientError:
                    continue


def _knows(client: Client, image_id: str) -> bool:
    try:
        client.image(image_id)
    except ApiProblem as problem:
        if problem.code == "not_found":
            return False
        raise
    return True


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK))
