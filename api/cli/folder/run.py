"""Carries out the plan of `atelier batch`: pictures are uploaded while results are downloaded as they appear.

Invariant: a result exists as a whole file under its final name, or not at all, so the same command can always continue.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path

from api.cli.display.batch_bar import MOST_LINES, BatchBar
from api.cli.display.tables import FailedPicture
from api.cli.folder.reasons import Reason
from api.cli.folder.uploads import Uploads, in_background
from api.client import Client, ItemResult
from api.client.models import ApiProblem, ClientError
from shared.ids import image_id
from shared.paths import read_regular

#: Pause between polls, in seconds.
_POLL_EVERY_S = 1.0

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
        self._pictures: Mapping[str, Path] = {}
        self._strength = strength
        self._uploads = Uploads(connect, batch_id, fail=self._fail, uploaded=bar.uploaded)
        self._ending = threading.Event()
        self._seen: set[str] = set()
        self._failed: list[FailedPicture] = []

    def run(self, pictures: Mapping[str, Path]) -> list[FailedPicture]:
        """Upload and add `pictures`, start the batch and download results until it ends; return the failures."""
        self._pictures = pictures
        watching = in_background(self._watch, "watch")
        uploading = in_background(lambda: self._uploads.add_all(pictures), "add")
        try:
            with self._connect() as client:
                self._download_all(client, uploading)
        finally:  # the threads begin nothing more, whatever happened
            self._ending.set()
            self._uploads.end()
        uploading.result()
        wait([watching], timeout=_POLL_EVERY_S)  # or it would add to the bar that is about to end
        return self._failed

    def upload_only(self, pictures: Mapping[str, Path]) -> list[FailedPicture]:
        """Upload and add `pictures` and start the batch; return the failures."""
        in_background(lambda: self._uploads.add_all(pictures), "add").result()
        return self._failed

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
            if not self._is_current(result):
                continue  # the upload tells that the picture has changed, or cannot be read
            if result.state == "succeeded":
                self._download(client, result)
            else:
                self._failed.append(FailedPicture.of(result))
                self._bar.ended()
        return client.batch(self._batch_id).ended_at is not None

    def _is_current(self, result: ItemResult) -> bool:
        """Return whether a picture is still the one that an earlier call of the command uploaded."""
        if result.content is None:  # from an older server
            return True
        try:
            mine = self._uploads.image_ids.get(result.key) or image_id(read_regular(self._pictures[result.key]))
        except OSError:
            return False
        return mine == result.content

    def _download(self, client: Client, result: ItemResult) -> None:
        path = self._results[result.key]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download(result.job_id, path, strength=self._strength)
        except ApiProblem as problem:  # its files have expired, or the job was deleted
            self._fail(result.key, problem.code, str(problem))
        except OSError as error:  # the others may still be written
            self._fail(result.key, Reason.UNWRITABLE, f"{path}: {error.strerror or error}")
        else:
            self._bar.ended()

    def _fail(self, key: str, code: str, message: str) -> None:
        self._failed.append(FailedPicture(key, code, message))
        self._bar.ended()

    def _watch(self) -> None:
        """Show the pictures that are being painted; a failed poll is made up by the next one."""
        with self._connect() as client:
            while not self._ending.wait(_POLL_EVERY_S):
                try:
                    self._bar.running(list(client.batch_items(self._batch_id, states=["running"], limit=MOST_LINES)))
                except ClientError:
                    continue
