"""Carries out the plan of `atelier batch`: uploads pictures in parallel and downloads results as they appear.

Invariant: a result exists as a whole file under its final name, or not at all, so the same command can always continue.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from api.cli.display.batch_bar import MOST_LINES, BatchBar
from api.cli.display.tables import FailedPicture
from api.client import Client, ItemResult
from api.client.models import ApiProblem, ClientError
from shared import ids

#: Parallel uploads, items added in one request, and the pause between polls, in seconds.
_UPLOADS, _CHUNK, _POLL_EVERY_S = 4, 64, 1.0

Connect = Callable[[], Client]


class BatchRun:
    """One run of the command, on a new or a continued batch."""

    def __init__(
        self,
        connect: Connect,
        batch_id: str,
        results: Mapping[str, Path],
        bar: BatchBar,
        *,
        strength: float | None = None,
    ) -> None:
        """Prepare to download each result to its path, by key, at a strength or at the saved one.

        `connect` creates a client for each thread.
        """
        self._connect, self._batch_id, self._results, self._bar = connect, batch_id, results, bar
        self._strength = strength
        self._own = threading.local()
        self._ending = threading.Event()
        self._started = False
        self._seen: set[str] = set()
        self._failed: list[FailedPicture] = []

    def run(self, pictures: Mapping[str, Path]) -> list[FailedPicture]:
        """Upload and add `pictures`, start the batch and download results until it ends; return the failures."""
        watching = threading.Thread(target=self._watch, name="watch", daemon=True)
        watching.start()
        with ThreadPoolExecutor(1) as background:
            uploading = background.submit(self._upload_all, pictures)
            try:
                with self._connect() as client:
                    self._download_all(client, uploading)
            finally:  # the threads end, whatever happened
                self._ending.set()
                watching.join(5)
            uploading.result()
        return self._failed

    def upload_only(self, pictures: Mapping[str, Path]) -> list[FailedPicture]:
        """Upload and add `pictures` and start the batch; return the failures."""
        self._upload_all(pictures)
        return self._failed

    # -- uploads

    def _upload_all(self, pictures: Mapping[str, Path]) -> None:
        with self._connect() as client:
            try:
                with ThreadPoolExecutor(_UPLOADS) as pool:
                    rest = iter(pictures.items())
                    while (chunk := dict(islice(rest, _CHUNK))) and not self._ending.is_set():
                        self._add(client, pool, chunk)
            finally:  # a batch without items would never end
                if not client.batch(self._batch_id).counts.total:
                    client.control_batch(self._batch_id, "cancel")

    def _add(self, client: Client, pool: Executor, pictures: Mapping[str, Path]) -> None:
        found = pool.map(lambda key: self._upload(key, pictures[key]), pictures)
        items = [{"key": key, "content": image} for key, image in zip(pictures, found, strict=True) if image]
        added = client.add_items(self._batch_id, items)
        for error in added.errors:
            self._fail(FailedPicture(str(error.key), error.code, error.detail))
        if not self._started and added.added + added.existing:
            self._started = True
            if client.batch(self._batch_id).state == "open":
                client.control_batch(self._batch_id, "start")

    def _upload(self, key: str, path: Path) -> str | None:
        """Upload a picture unless the server has it; return its id, or None if it cannot be used."""
        client = self._client()
        try:
            data = path.read_bytes()
            image_id = ids.image_id(data)
            if not client.has_image(image_id):
                image_id = client.upload(data).id
        except OSError as error:
            self._fail(FailedPicture(key, "unreadable", error.strerror or str(error)))
            return None
        except ApiProblem as problem:
            if problem.status in (401, 403, 507):
                raise
            self._fail(FailedPicture(key, problem.code, str(problem)))
            return None
        finally:
            self._bar.uploaded()
        return image_id

    def _client(self) -> Client:
        if not hasattr(self._own, "client"):
            self._own.client = self._connect()
        client: Client = self._own.client
        return client

    # -- downloads

    def _download_all(self, client: Client, uploading: Future[None]) -> None:
        while True:
            uploaded = uploading.done()
            if self._download_new(client) and uploaded:
                return
            self._ending.wait(_POLL_EVERY_S)

    def _download_new(self, client: Client) -> bool:
        """Download results until the feed ends; say whether the batch has ended."""
        for result in client.batch_results(self._batch_id, follow=True):
            if result.key in self._seen or result.key not in self._results:
                continue
            self._seen.add(result.key)
            if result.state == "succeeded":
                self._download(client, result)
            else:
                self._fail(FailedPicture.of(result))
        return client.batch(self._batch_id).ended_at is not None

    def _download(self, client: Client, result: ItemResult) -> None:
        path = self._results[result.key]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download(result.job_id, path, strength=self._strength)
        except ApiProblem as problem:  # its files have expired, or the job was deleted
            self._fail(FailedPicture(result.key, problem.code, str(problem)))
        else:
            self._bar.ended()

    def _fail(self, picture: FailedPicture) -> None:
        self._failed.append(picture)
        self._bar.ended()

    def _watch(self) -> None:
        """Show the pictures that are being painted; a failed poll is made up by the next one."""
        with self._connect() as client:
            while not self._ending.wait(_POLL_EVERY_S):
                try:
                    self._bar.running(list(client.batch_items(self._batch_id, states=["running"], limit=MOST_LINES)))
                except ClientError:
                    continue
