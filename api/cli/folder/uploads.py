"""Uploads pictures in parallel and adds them to a batch, a chunk at a time.

Invariant: its threads end with the process, so Ctrl-C waits neither for a file nor for the server.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from api.cli.folder.reasons import Reason
from api.client import Client
from api.client.batches import ItemError
from api.client.models import ApiProblem
from shared import ids
from shared.paths import read_regular

#: Parallel uploads, and items added in one request.
_UPLOADS, _CHUNK = 4, 64
#: Answers that no other picture would get differently: the key is refused, or the server's disk is full.
_FATAL = (401, 403, 507)

T = TypeVar("T")


def in_background(work: Callable[[], T], name: str) -> Future[T]:
    """Start `work` in a thread that ends with the process, unlike those of an executor."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # raised where the result is awaited
            done.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


def _reason(error: ItemError) -> tuple[str, str]:
    """Return code and message of an item that the server rejects."""
    if error.code == "duplicate_key":
        return Reason.CHANGED, "It has changed since this batch began: add --new to start over."
    return error.code, error.detail


class Uploads:
    """Brings pictures into a batch and starts it."""

    def __init__(
        self,
        connect: Callable[[], Client],
        batch_id: str,
        *,
        fail: Callable[[str, str, str], None],
        uploaded: Callable[[], None],
    ) -> None:
        """Prepare to add to a batch; `connect` creates a client for each thread.

        `fail` is called with the key, the code and the message of a picture that is not added, `uploaded` after every
        picture.
        """
        self._connect, self._batch_id, self._fail, self._uploaded = connect, batch_id, fail, uploaded
        #: The ids of the images read so far, by key.
        self.image_ids: dict[str, str] = {}
        self._lock = threading.Lock()
        self._started = False
        self._ending = self._broken = False

    def end(self) -> None:
        """Begin no further upload."""
        self._ending = True

    def add_all(self, pictures: Mapping[str, Path]) -> None:
        """Upload and add `pictures`, and start the batch; cancel it if none could be added."""
        clients = [self._connect() for _ in range(_UPLOADS)]
        rest = iter(pictures.items())
        try:
            while (chunk := dict(islice(rest, _CHUNK))) and not self._ending:
                self._add(clients, chunk)
        finally:  # a batch without items would never end
            if not self._ending and not clients[0].batch(self._batch_id).counts.total:
                clients[0].control_batch(self._batch_id, "cancel")
            for client in clients:
                client.close()

    def _add(self, clients: list[Client], pictures: Mapping[str, Path]) -> None:
        found: dict[str, str] = {}
        due = iter(pictures.items())
        for running in [in_background(partial(self._upload_each, client, due, found), "upload") for client in clients]:
            running.result()
        items = [{"key": key, "content": found[key]} for key in pictures if key in found]
        added = clients[0].add_items(self._batch_id, items)
        for error in added.errors:
            self._fail(str(error.key), *_reason(error))
        if not self._started and added.added + added.existing:
            self._started = True
            if clients[0].batch(self._batch_id).state == "open":
                clients[0].control_batch(self._batch_id, "start")

    def _upload_each(self, client: Client, due: Iterator[tuple[str, Path]], found: dict[str, str]) -> None:
        """Upload the next picture that is due until none is left, or one has failed for a reason that all share."""
        while not (self._ending or self._broken):
            with self._lock:
                picture = next(due, None)
            if picture is None:
                return
            key, path = picture
            image_id = self._upload(client, key, path)
            self._uploaded()
            if image_id is not None:
                found[key] = image_id

    def _upload(self, client: Client, key: str, path: Path) -> str | None:
        """Upload a picture unless the server has it; return its id, or None if it cannot be used."""
        try:
            data = read_regular(path)
            image_id = self.image_ids[key] = ids.image_id(data)
            return image_id if client.has_image(image_id) else client.upload(data).id
        except OSError as error:
            self._fail(key, Reason.UNREADABLE, error.strerror or str(error))
        except ApiProblem as problem:
            if problem.status in _FATAL:
                self._broken = True
                raise
            self._fail(key, problem.code, str(problem))
        return None
